//! What was probably meant by a name that nobody knows.

/// The candidate nearest to `word`, if one is near enough. Case, `_` and `-` do not count.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = folded(word);
    candidates
        .into_iter()
        .map(|candidate| (distance(&word, &folded(candidate)), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.len().min(word.len()) / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

fn folded(word: &str) -> Vec<char> {
    const COMPARED_CHARS_MAX: usize = 64;
    let letters = word.chars().filter(|c| !matches!(c, '_' | '-'));
    letters
        .take(COMPARED_CHARS_MAX)
        .flat_map(char::to_lowercase)
        .collect()
}

/// The number of letters to insert, drop or replace (Levenshtein).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1; b.len() + 1];
        for (j, y) in b.iter().enumerate() {
            let replaced = last[j] + usize::from(x != y);
            row[j + 1] = replaced.min(last[j + 1] + 1).min(row[j] + 1);
        }
        last = row;
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_name_is_recognised_and_another_word_is_not() {
        let names = ["wordcount", "fraud-detection", "top-pages"];
        for (word, expected) in [
            ("wordcuont", Some("wordcount")),
            ("WordCount", Some("wordcount")),
            ("word-count", Some("wordcount")),
            ("toppage", Some("top-pages")),
            ("fraud_detection", Some("fraud-detection")),
            ("sessions", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, names), expected, "{word}");
        }
    }
}
