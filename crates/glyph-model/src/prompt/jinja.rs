//! The template engine set up like jinja2 in transformers, for chat templates.
//!
//! Reference: `transformers/utils/chat_template_utils.py`, `_compile_jinja_template`; of it `strftime_now`, the block
//! `generation`, and the arguments `separators` and `sort_keys` of `tojson` are errors here.

use std::io;

use minijinja::value::Kwargs;
use minijinja::{Environment, Error, ErrorKind, State, Value};
use minijinja_contrib::pycompat::unknown_method_callback;
use serde::Serialize;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};

type Result<T> = std::result::Result<T, Error>;

/// Spaces of a level in JSON, at most.
const MOST_INDENT: usize = 16;

/// An engine without a template. What allocates as much as its arguments alone say is not among its filters and methods;
/// operators, such as `*` of a list, are not bounded.
pub(super) fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    for filter in ["batch", "format", "indent", "slice"] {
        environment.remove_filter(filter);
    }
    environment.set_trim_blocks(true);
    environment.set_lstrip_blocks(true);
    environment.set_unknown_method_callback(method);
    environment.add_filter("tojson", to_json);
    environment.add_function("raise_exception", |message: String| -> Result<Value> {
        Err(Error::new(ErrorKind::InvalidOperation, message))
    });
    environment
}

/// The methods of Python's strings, lists and dictionaries, but for `str.format`, whose widths are arguments.
fn method(state: &State, value: &Value, name: &str, arguments: &[Value]) -> Result<Value> {
    match name {
        "format" => Err(ErrorKind::UnknownMethod.into()),
        _ => unknown_method_callback(state, value, name, arguments),
    }
}

/// With the separators of `json.dumps` and all characters as they are; the engine's own filter is made for HTML.
fn to_json(value: &Value, arguments: Kwargs) -> Result<String> {
    let indent: Option<usize> = arguments.get("indent")?;
    let is_ascii: Option<bool> = arguments.get("ensure_ascii")?;
    arguments.assert_all_used()?;
    let json = match indent {
        None => written(value, Spaced),
        Some(indent @ ..=MOST_INDENT) => written(
            value,
            PrettyFormatter::with_indent(" ".repeat(indent).as_bytes()),
        ),
        Some(indent) => {
            let message = format!("tojson: indent is {indent}; at most {MOST_INDENT} is written");
            return Err(Error::new(ErrorKind::InvalidOperation, message));
        }
    }?;
    Ok(match is_ascii {
        Some(true) => escaped(&json),
        _ => json,
    })
}

fn written(value: &Value, formatter: impl Formatter) -> Result<String> {
    let mut json = Vec::new();
    let broken = |reason: String| Error::new(ErrorKind::BadSerialization, reason);
    let mut serializer = Serializer::with_formatter(&mut json, formatter);
    value
        .serialize(&mut serializer)
        .map_err(|error| broken(error.to_string()))?;
    String::from_utf8(json).map_err(|error| broken(error.to_string()))
}

/// Characters beyond ASCII stand in the strings of JSON alone.
fn escaped(json: &str) -> String {
    let mut ascii = String::with_capacity(json.len());
    for character in json.chars() {
        match character.is_ascii() && character != '\x7f' {
            true => ascii.push(character),
            false => {
                let units = character.encode_utf16(&mut [0; 2]).to_vec();
                ascii.extend(units.iter().map(|unit| format!("\\u{unit:04x}")));
            }
        }
    }
    ascii
}

/// Python's separators: a space after each comma and colon.
struct Spaced;

impl Spaced {
    fn separator<W: io::Write + ?Sized>(writer: &mut W, is_first: bool) -> io::Result<()> {
        match is_first {
            true => Ok(()),
            false => writer.write_all(b", "),
        }
    }
}

impl Formatter for Spaced {
    fn begin_array_value<W: io::Write + ?Sized>(
        &mut self,
        writer: &mut W,
        is_first: bool,
    ) -> io::Result<()> {
        Self::separator(writer, is_first)
    }

    fn begin_object_key<W: io::Write + ?Sized>(
        &mut self,
        writer: &mut W,
        is_first: bool,
    ) -> io::Result<()> {
        Self::separator(writer, is_first)
    }

    fn begin_object_value<W: io::Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}

#[cfg(test)]
mod tests {
    use super::environment;
    use minijinja::context;

    fn rendered(template: &str) -> Result<String, String> {
        let value = context! { a => vec!["<é>", "it's \u{1F600}"], b => true };
        environment()
            .render_str(template, context! { value })
            .map_err(|error| error.to_string())
    }

    #[test]
    fn json_is_that_of_python() {
        for (template, json) in [
            // json.dumps(value, ensure_ascii=False), as transformers calls it.
            (
                "{{ value | tojson }}",
                "{\"a\": [\"<é>\", \"it's \u{1F600}\"], \"b\": true}",
            ),
            (
                "{{ value.a | tojson(ensure_ascii=True) }}",
                r#"["<\u00e9>", "it's \ud83d\ude00"]"#,
            ),
            (
                "{{ [1, {}] | tojson(ensure_ascii=False, indent=2) }}",
                "[\n  1,\n  {}\n]",
            ),
        ] {
            assert_eq!(rendered(template).as_deref(), Ok(json), "{template}");
        }
    }

    #[test]
    fn loops_can_be_left() {
        let template =
            "{% for n in [1, 2, 3] %}{% if n == 2 %}{% break %}{% endif %}{{ n }}{% endfor %}";
        assert_eq!(rendered(template).as_deref(), Ok("1"));
    }

    #[test]
    fn no_argument_of_a_filter_says_how_much_is_allocated() {
        for template in [
            "{{ value | tojson(indent=100000000000) }}",
            "{{ value | tojson(indent=17) }}",
            "{{ '{:10000000000}'.format(5) }}",
            "{{ '%10000000000d' | format(5) }}",
            "{{ 'a' | indent(10000000000) }}",
        ] {
            assert!(rendered(template).is_err(), "{template}");
        }
    }
}
