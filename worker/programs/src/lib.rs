//! The programs that ship with the stock image. Each is an ordinary program over the DataStream
//! API: read them as examples.

mod fraud_detection;
mod page_views;
mod top_pages;
mod wordcount;

use weir_api::ProgramFn;

/// A registered program.
#[derive(Clone, Copy)]
pub struct Entry {
    /// What `spec.job.program` says.
    pub name: &'static str,
    /// One line for people.
    pub summary: &'static str,
    /// Builds its graph.
    pub build: ProgramFn,
}

/// All of them, by name.
pub fn all() -> Vec<Entry> {
    vec![
        Entry {
            name: "fraud-detection",
            summary: "alerts for a small transaction that a large one follows within a minute",
            build: fraud_detection::build,
        },
        Entry {
            name: "page-views",
            summary: "how often each page was viewed, per window, over views that it makes itself",
            build: page_views::build,
        },
        Entry {
            name: "top-pages",
            summary: "the pages most often asked for, per sliding window over an access log",
            build: top_pages::build,
        },
        Entry {
            name: "wordcount",
            summary: "the running count of each word of a text",
            build: wordcount::build,
        },
    ]
}
