//! The manifest that holds every field, and where its fields are.

pub(crate) const FULL: &str = include_str!("testdata/full.yaml");

/// A field of [`FULL`].
#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub(crate) name: String,
    /// From 1.
    pub(crate) line: usize,
    /// From 1.
    pub(crate) column: usize,
    /// The path of what is around it, with indexes of lists.
    pub(crate) around: String,
}

impl Field {
    /// The field's path in the schema, which has no indexes.
    pub(crate) fn path_in_schema(&self) -> String {
        let path = format!("{}.{}", self.around, self.name);
        let names = path.trim_start_matches('.').split('.');
        names
            .map(|name| name.split('[').next().unwrap_or(name))
            .collect::<Vec<_>>()
            .join(".")
    }
}

/// The fields of [`FULL`] that the schema knows: those that begin a line.
pub(crate) fn fields_of_full() -> Vec<Field> {
    let mut fields = Vec::new();
    // What is around a line: the column and the path of each mapping's key, and how many items of
    // a list it has had so far.
    let mut around: Vec<(usize, String, usize)> = Vec::new();
    for (index, line) in FULL.lines().enumerate() {
        let content = line.trim_start_matches([' ', '-']);
        let Some((name, _)) = content
            .split_once(':')
            .filter(|_| !content.starts_with('#'))
        else {
            continue;
        };
        let column = line.len() - content.len() + 1;
        around.retain(|(outer, ..)| *outer < column);
        if let Some((_, _, items)) = around.last_mut() {
            *items += usize::from(line.trim_start().starts_with('-'));
        }
        let parent = match around.last() {
            None => String::new(),
            Some((_, path, 0)) => path.clone(),
            Some((_, path, items)) => format!("{path}[{}]", items - 1),
        };
        let path = if parent.is_empty() {
            name.to_owned()
        } else {
            format!("{parent}.{name}")
        };
        around.push((column, path, 0));
        fields.push(Field {
            name: name.to_owned(),
            line: index + 1,
            column,
            around: parent,
        });
    }
    fields.retain(|field| field.name != "status");
    fields
}
