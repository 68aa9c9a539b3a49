//! The nearest of the known words to one that is not known.

/// Longer words are not compared: nobody misspells them into a field's name.
const COMPARED_CHARS_MAX: usize = 64;

/// The candidate that was probably meant, with its distance, if one is near enough. Case, `_` and
/// `-` don't count: `max_parallelism` is `maxParallelism`.
pub(super) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<(&'a str, usize)> {
    let word = folded(word);
    if word.is_empty() || word.len() > COMPARED_CHARS_MAX {
        return None;
    }
    candidates
        .into_iter()
        .map(|candidate| (candidate, distance(&word, &folded(candidate))))
        .filter(|(candidate, distance)| *distance <= (candidate.len().min(word.len()) / 3).max(1))
        .min_by_key(|(_, distance)| *distance)
}

/// Whether two names differ in nothing but case, `_` and `-`.
pub(super) fn same_name(a: &str, b: &str) -> bool {
    folded(a) == folded(b)
}

fn folded(word: &str) -> Vec<char> {
    word.chars()
        .filter(|c| !matches!(c, '_' | '-'))
        .take(COMPARED_CHARS_MAX + 1)
        .flat_map(char::to_lowercase)
        .collect()
}

/// The number of letters to insert, drop, replace or swap with the next one (the optimal string
/// alignment distance).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_found_and_far_ones_are_not() {
        let fields = ["parallelism", "maxParallelism", "program", "args", "s3"];
        for (word, expected) in [
            ("paralelism", Some(("parallelism", 1))),
            ("parallelims", Some(("parallelism", 1))),
            ("max_parallelism", Some(("maxParallelism", 0))),
            ("MaxParalelism", Some(("maxParallelism", 1))),
            ("arg", Some(("args", 1))),
            ("s4", Some(("s3", 1))),
            ("image", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, fields), expected, "{word}");
        }
    }
}
