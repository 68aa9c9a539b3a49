{{/* The chart's name. */}}
{{- define "weir.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{/* The name of the objects: `weir-operator` for a release `weir`, `team-weir-operator` for `team`. */}}
{{- define "weir.fullname" -}}
{{- $name := include "weir.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains .Release.Name $name -}}
{{- $name -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "weir.selectorLabels" -}}
app.kubernetes.io/name: {{ include "weir.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end -}}

{{/* Labels and annotations of an object, below `metadata`: `list . LABELS ANNOTATIONS`, its own, if it has any. */}}
{{- define "weir.metadata" -}}
{{- $ := index . 0 -}}
{{- $labels := dict -}}
{{- $annotations := dict -}}
{{- if gt (len .) 1 -}}
{{- $labels = index . 1 -}}
{{- $annotations = index . 2 -}}
{{- end -}}
labels:
  helm.sh/chart: {{ printf "%s-%s" $.Chart.Name $.Chart.Version | replace "+" "_" }}
  {{- include "weir.selectorLabels" $ | nindent 2 }}
  app.kubernetes.io/version: {{ $.Chart.AppVersion | quote }}
  app.kubernetes.io/part-of: weir
  app.kubernetes.io/managed-by: {{ $.Release.Service }}
  {{- with merge (deepCopy $labels) $.Values.commonLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with merge (deepCopy $annotations) $.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "weir.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "weir.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "weir.image" -}}
{{- $image := .Values.image -}}
{{- $name := printf "%s/%s" $image.registry $image.repository | trimPrefix "/" -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $name $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $name (default .Chart.AppVersion $image.tag) -}}
{{- end -}}
{{- end -}}

{{/* The image of jobs that name none. */}}
{{- define "weir.jobImage" -}}
{{- if .Values.jobs.image -}}
{{- .Values.jobs.image -}}
{{- else -}}
{{- printf "%s/weir:%s" .Values.image.registry .Chart.AppVersion | trimPrefix "/" -}}
{{- end -}}
{{- end -}}

{{/* What the operator may do in each namespace that it looks after. It reads no Secret: pods mount them. */}}
{{- define "weir.rules" -}}
# Finalizers are patched; a finished job is deleted when its time has come.
- apiGroups: [weir.dev]
  resources: [streamjobs]
  verbs: [get, list, watch, patch, delete]
- apiGroups: [weir.dev]
  resources: [streamjobs/status]
  verbs: [update]
- apiGroups: [weir.dev]
  resources: [streamjobs/finalizers]
  verbs: [update]
# What a job consists of. Pods are never changed; but JobManagers mark their own, and whoever grants a
# right must have it.
- apiGroups: [""]
  resources: [pods, services, configmaps]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [serviceaccounts]
  verbs: [get, list, watch, create, patch]
- apiGroups: [apps]
  resources: [controllerrevisions]
  verbs: [get, list, watch, create, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [rbac.authorization.k8s.io]
  resources: [roles, rolebindings]
  verbs: [get, list, watch, create, patch, delete]
# JobManagers elect their leader by a Lease, which the operator makes once a job is to start, and removes
# with the deployment.
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [get, create, patch, delete]
- apiGroups: ["", events.k8s.io]
  resources: [events]
  verbs: [create, patch]
# Of a pod whose volume can't be mounted its node tells nowhere else.
- apiGroups: [""]
  resources: [events]
  verbs: [list]
{{- end -}}
