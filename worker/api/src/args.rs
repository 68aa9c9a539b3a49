//! A program's arguments: a map of texts, with typed access and errors that name the argument.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::str::FromStr;

/// The arguments do not fit the program.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArgsError {
    /// An argument that has no default was not given.
    #[error("missing argument `{name}`: give it in spec.job.args or with --arg {name}=VALUE")]
    Missing {
        /// Its name.
        name: String,
    },
    /// An argument that must say something says nothing.
    #[error("argument `{name}` is empty: give it a value")]
    Empty {
        /// Its name.
        name: String,
    },
    /// The text is not of the wanted type.
    #[error("argument `{name}`: `{value}` is not {expected}: {cause}")]
    Invalid {
        /// Its name.
        name: String,
        /// What was given.
        value: String,
        /// What was wanted.
        expected: &'static str,
        /// Why it is none.
        cause: String,
    },
    /// The program has no such argument.
    #[error("unknown argument `{name}`; the program takes: {known}")]
    Unknown {
        /// The name given.
        name: String,
        /// The names there are.
        known: String,
    },
}

/// A program's arguments.
#[derive(Clone, Debug, Default)]
pub struct Args {
    values: BTreeMap<String, String>,
    asked: RefCell<BTreeSet<String>>,
}

impl Args {
    /// Arguments from a manifest and the command line.
    pub fn new(values: BTreeMap<String, String>) -> Self {
        Self {
            values,
            asked: RefCell::default(),
        }
    }

    /// All of them, as given.
    pub fn values(&self) -> &BTreeMap<String, String> {
        &self.values
    }

    /// The text of an argument, if it was given.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.asked.borrow_mut().insert(name.to_owned());
        self.values.get(name).map(String::as_str)
    }

    /// The text of an argument that has no default. An empty one, as a shell makes of a variable
    /// that is not set, is refused.
    pub fn required(&self, name: &str) -> Result<&str, ArgsError> {
        let name_of = || name.to_owned();
        match self.get(name) {
            None => Err(ArgsError::Missing { name: name_of() }),
            Some("") => Err(ArgsError::Empty { name: name_of() }),
            Some(text) => Ok(text),
        }
    }

    /// An argument of another type, or its default.
    pub fn parsed_or<T>(&self, name: &str, default: T) -> Result<T, ArgsError>
    where
        T: FromStr,
        T::Err: Display,
    {
        Ok(self.parsed(name)?.unwrap_or(default))
    }

    /// An argument of another type, if it was given.
    pub fn parsed<T>(&self, name: &str) -> Result<Option<T>, ArgsError>
    where
        T: FromStr,
        T::Err: Display,
    {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        value
            .parse()
            .map(Some)
            .map_err(|cause: T::Err| ArgsError::Invalid {
                name: name.to_owned(),
                value: value.to_owned(),
                expected: short_type_name::<T>(),
                cause: cause.to_string(),
            })
    }

    /// Refuses arguments that the program never asked for: a misspelt one must not be ignored.
    pub fn check_all_used(&self) -> Result<(), ArgsError> {
        let asked = self.asked.borrow();
        match self.values.keys().find(|name| !asked.contains(*name)) {
            None => Ok(()),
            Some(name) => Err(ArgsError::Unknown {
                name: name.clone(),
                known: asked.iter().cloned().collect::<Vec<_>>().join(", "),
            }),
        }
    }
}

fn short_type_name<T>() -> &'static str {
    let full = std::any::type_name::<T>();
    full.rsplit("::").next().unwrap_or(full)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(pairs: &[(&str, &str)]) -> Args {
        Args::new(
            pairs
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect(),
        )
    }

    #[test]
    fn a_misspelt_argument_is_refused_with_the_names_there_are() {
        let args = args(&[("inptu", "x")]);
        assert!(args.get("input").is_none());
        let error = args.check_all_used().expect_err("inptu is unknown");
        assert_eq!(
            error.to_string(),
            "unknown argument `inptu`; the program takes: input"
        );
    }

    #[test]
    fn a_number_that_is_none_is_refused_with_its_name() {
        let error = args(&[("rate", "fast")])
            .parsed_or("rate", 1u64)
            .expect_err("no number");
        assert!(
            error
                .to_string()
                .starts_with("argument `rate`: `fast` is not u64"),
            "{error}"
        );
        assert_eq!(args(&[]).parsed_or("rate", 1u64), Ok(1));
        assert!(args(&[]).required("input").is_err());
        let empty = args(&[("input", "")]).required("input").map(str::to_owned);
        let text = empty.expect_err("it is empty").to_string();
        assert_eq!(text, "argument `input` is empty: give it a value");
    }
}
