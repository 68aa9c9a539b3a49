# The images: `operator` runs the controller, `worker` a job's JobManager and TaskManagers.
#
#   docker build --target worker -t localhost/weir:0.1.0 .
#
# BUILDER compiles: Debian with Rust. BASE carries the programs: glibc, libstdc++ and certificates,
# nothing else is needed. Programs that have been built already are taken from a folder instead, and
# nothing is compiled: `--build-arg BINARIES=given --build-arg FOLDER=out`, relative to the context.
# (Buildah before 1.30 sees stages that come by a variable only when it is said: BINARIES=compiled.)
ARG BUILDER=docker.io/library/rust:1.95-bookworm
ARG BASE=gcr.io/distroless/cc-debian12:nonroot
ARG BINARIES=compiled

FROM ${BUILDER} AS compiled
RUN apt-get update \
    && apt-get install -y --no-install-recommends g++ libclang1-14 libclang-common-14-dev mold \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN cargo build --locked --release --bin weir --bin weir-operator \
    && mkdir /out \
    && strip -o /out/weir target/release/weir \
    && strip -o /out/weir-operator target/release/weir-operator

FROM scratch AS given
ARG FOLDER=.
COPY ${FOLDER}/ /out/

FROM ${BINARIES} AS binaries

FROM ${BASE} AS operator
COPY --from=binaries /out/weir-operator /usr/local/bin/weir-operator
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/weir-operator"]

# /tmp and /var/lib/weir are volumes in a pod, whose root file system is read-only.
FROM ${BASE} AS worker
COPY --from=binaries /out/weir /usr/local/bin/weir
USER 65532:65532
WORKDIR /var/lib/weir
ENTRYPOINT ["/usr/local/bin/weir"]
