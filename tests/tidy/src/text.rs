//! Reading source text line by line, as far as the rules need it. This is no parser: string
//! literals that span lines count as code, which the rules can live with.

/// Lines with their numbers, counted from 1.
pub(crate) fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line))
}

/// Splits a line of Rust into what is compiled and the comment after it.
pub(crate) fn split_comment(line: &str) -> (&str, &str) {
    let mut in_string = false;
    let mut escaped = false;
    let mut previous = ' ';
    for (at, char) in line.char_indices() {
        if escaped {
            escaped = false;
        } else if in_string && char == '\\' {
            escaped = true;
        } else if char == '"' && previous != '\'' {
            in_string = !in_string;
        } else if !in_string && char == '/' && line[at..].starts_with("//") {
            return line.split_at(at);
        }
        previous = char;
    }
    (line, "")
}

/// What a reader, not a machine, reads of a line: comments in code, all of a document. The reasons
/// in TOML files are values.
pub(crate) fn prose<'a>(path: &str, line: &'a str) -> &'a str {
    if path.ends_with(".rs") || path.ends_with(".proto") || path.ends_with(".java") {
        split_comment(line).1
    } else if path.ends_with(".md") || path.ends_with(".toml") {
        line
    } else {
        line.find('#').map_or("", |at| &line[at..])
    }
}

/// Words of letters and digits.
pub(crate) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|char: char| !char.is_alphanumeric() && char != '_')
        .filter(|word| !word.is_empty())
}

/// How many lines of a Rust file come before its inline test module.
pub(crate) fn lines_without_tests(text: &str) -> usize {
    let lines: Vec<&str> = text.lines().collect();
    let begin = lines.windows(2).position(|pair| {
        pair[0].trim() == "#[cfg(test)]" && pair[1].contains("mod ") && pair[1].ends_with('{')
    });
    begin.unwrap_or(lines.len())
}

/// Whether a Rust file holds nothing but tests.
pub(crate) fn is_test_file(path: &str) -> bool {
    path.contains("/tests/") || path.ends_with("/tests.rs") || path.ends_with("_tests.rs")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_begins_outside_of_strings() {
        assert_eq!(
            split_comment("let a = 1; // why"),
            ("let a = 1; ", "// why")
        );
        assert_eq!(split_comment(r#"let a = "http://x"; // y"#).1, "// y");
        assert_eq!(split_comment(r#"let a = "\"//"; "#).1, "");
        assert_eq!(split_comment(r#"if char == '"' { // q"#).1, "// q");
    }

    #[test]
    fn lines_are_counted_up_to_an_inline_test_module() {
        assert_eq!(
            lines_without_tests("a\nb\n#[cfg(test)]\nmod tests {\n}\n"),
            2
        );
        assert_eq!(lines_without_tests("a\n#[cfg(test)]\nmod tests;\nb\n"), 4);
        assert_eq!(lines_without_tests("a\n#[cfg(test)]\nuse x;\nb\n"), 4);
    }
}
