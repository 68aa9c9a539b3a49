//! `weir-k8s-bench [N] [FIGURE…]`: how long things take on the stand, each measured N times (20),
//! and what idle processes hold; all of them, or those whose names begin like one of the
//! arguments. Prints a table, and below it a line of JSON for each figure.
//!
//! Times are those that a person would take: from the start of a `kubectl` command, or from the
//! last result of an old epoch, to the first result of the new one in the bucket.

mod figures;
mod measure;

use figures::FIGURES;
use measure::Measured;
use weir_tests_k8s::Stand;

fn main() {
    let mut arguments = std::env::args().skip(1).peekable();
    let count = arguments.peek().and_then(|first| first.parse().ok());
    let count: usize = count.inspect(|_| drop(arguments.next())).unwrap_or(20);
    let wanted: Vec<String> = arguments.collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|w| name.starts_with(w));

    let _stand = Stand::alone();
    let mut all: Vec<Measured> = Vec::new();
    for figure in FIGURES.iter().filter(|figure| is_wanted(figure.name)) {
        eprintln!("{} …", figure.name);
        all.extend((figure.measure)(count));
    }
    println!("| what | runs | median | p99 | must reach |");
    println!("|---|---|---|---|---|");
    for measured in &all {
        println!("{}", measured.row());
    }
    println!();
    for measured in &all {
        println!("{}", measured.json());
    }
}
