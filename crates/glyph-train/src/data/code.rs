//! Lines that look like code, settings and logs.

use super::draw::Draw;
use super::prose::{capitalised, date, number, time};
use super::random::{code, path, url};
use super::words::{DICTIONARY, SETTING_WORDS};

/// A line of code of this split.
pub(crate) fn line(draw: &mut Draw) -> String {
    draw.line(|draw| match draw.below(6) {
        0 => rust(draw),
        1 => python(draw),
        2 => data(draw),
        3 => shell(draw),
        4 => formula(draw),
        _ => markup(draw),
    })
}

/// A name as programs use them: `retry_limit`, `maxItems`, `Session`.
fn name(draw: &mut Draw) -> String {
    let (first, second) = draw.pair(&SETTING_WORDS, &SETTING_WORDS);
    match draw.below(6) {
        0 => format!("{first}_{second}"),
        1 => format!("{first}{}", capitalised(second)),
        2 => capitalised(first),
        3 => format!("{first}_{second}").to_ascii_uppercase(),
        4 => first.to_owned(),
        _ => char::from(b'a' + draw.below(26) as u8).to_string(),
    }
}

fn operator(draw: &mut Draw) -> &'static str {
    draw.one_of(&[
        "+", "-", "*", "/", "%", "==", "!=", "<=", ">=", "<", ">", "&&", "||", "^", "&",
    ])
}

fn rust(draw: &mut Draw) -> String {
    let (a, b) = (name(draw), name(draw));
    match draw.below(9) {
        0 => format!(
            "let mut {a} = {b}.len() {} {};",
            operator(draw),
            number(draw)
        ),
        1 => format!("fn {a}(&self, {b}: u32) -> Option<&str> {{"),
        2 => format!("if {a} {} {b} {{ return; }}", operator(draw)),
        3 => format!("for {a} in 0..{} {{", draw.below(1000)),
        4 => format!("use crate::{a}::{b};"),
        5 => format!("#[derive(Clone, Debug)] struct {};", capitalised(&a)),
        6 => format!("println!(\"{{:?}} {{}}\", {a}, {b}[{}]);", draw.below(100)),
        7 => format!(
            "let {a}: Vec<u8> = vec![{}; {}];",
            draw.below(256),
            draw.below(100)
        ),
        _ => "}".to_owned(),
    }
}

fn python(draw: &mut Draw) -> String {
    let (a, b) = (name(draw), name(draw));
    match draw.below(9) {
        0 => format!("def {a}(self, {b}=None):"),
        1 => format!("{a} = [{b} for {b} in range({})]", draw.below(1000)),
        2 => format!("if not {a} or {b} {} {}:", operator(draw), number(draw)),
        3 => format!("from {a} import {b} as {}", name(draw)),
        4 => format!("return f\"{{{a}}}: {{{b}!r}}\""),
        5 => format!("{a}['{b}'] += {}", draw.below(100)),
        6 => format!("@{a}.{b}(\"/{}\")", draw.word(&DICTIONARY)),
        7 => format!("assert {a} ** 2 == {b}, '{}' # ok", draw.word(&DICTIONARY)),
        _ => "else:".to_owned(),
    }
}

fn data(draw: &mut Draw) -> String {
    let (a, b) = (name(draw), name(draw));
    match draw.below(7) {
        0 => format!("\"{a}\": {},", draw.below(10_000)),
        1 => format!("\"{a}\": \"{}\",", code(draw)),
        2 => format!(
            "{{\"{a}\": [{}, {}], \"{b}\": null}}",
            draw.below(100),
            draw.below(100)
        ),
        3 => format!("{a}: {b}"),
        4 => format!("[{a}.{b}]"),
        5 => format!("{a} = \"{}\"", draw.word(&DICTIONARY)),
        _ => format!(
            "{},{},{}",
            code(draw),
            draw.word(&DICTIONARY),
            draw.below(1000)
        ),
    }
}

fn shell(draw: &mut Draw) -> String {
    let (a, b) = (name(draw), name(draw));
    match draw.below(7) {
        0 => format!("$ {a} --{b}={} | sort -n", draw.below(100)),
        1 => format!("cp {} {}", path(draw), path(draw)),
        2 => format!(
            "{} {} WARN {a}: {} `{b}`",
            date(draw),
            time(draw),
            draw.word(&DICTIONARY)
        ),
        3 => format!("curl -s {} > {a}.log", url(draw)),
        4 => format!("export {}=\"${b}:{}\"", a.to_ascii_uppercase(), path(draw)),
        5 => format!("C:\\{a}\\{b}\\{}.exe", draw.word(&DICTIONARY)),
        _ => format!("sed 's/^{a}.*$/{b}/' {} && ls ~", path(draw)),
    }
}

fn formula(draw: &mut Draw) -> String {
    let (a, b) = (name(draw), name(draw));
    match draw.below(5) {
        0 => format!(
            "{a} = ({b} {} {}) / {}",
            operator(draw),
            number(draw),
            number(draw)
        ),
        1 => format!(
            "{} {} {} = {}",
            number(draw),
            operator(draw),
            number(draw),
            number(draw)
        ),
        2 => format!("{a}[i] ^= {b}[{}] << {};", draw.below(100), draw.below(32)),
        3 => format!(
            "y = {}*x^2 - {}*x + {}",
            draw.below(100),
            draw.below(100),
            draw.below(100)
        ),
        _ => format!("{a} ? {b} : ~{};", draw.below(1000)),
    }
}

fn markup(draw: &mut Draw) -> String {
    let (a, word) = (name(draw), draw.word(&DICTIONARY));
    match draw.below(6) {
        0 => format!("<{a} id=\"{word}\">{}</{a}>", number(draw)),
        1 => format!("## {} `{a}`", capitalised(word)),
        2 => format!("- [x] {word}: **{a}** ({})", number(draw)),
        3 => format!("| {a} | {word} | {} |", number(draw)),
        4 => format!("// {word} {} @{a}", date(draw)),
        _ => format!("SELECT {a} FROM {word} WHERE id={};", draw.below(10_000)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Split;

    #[test]
    fn lines_use_every_punctuation_mark() {
        let mut draw = Draw::new(2, Split::HeldOut, 0);
        let text: String = (0..3000).map(|_| line(&mut draw)).collect();
        for mark in (b'!'..=b'~')
            .filter(u8::is_ascii_punctuation)
            .map(char::from)
        {
            assert!(text.contains(mark), "{mark} never comes");
        }
        assert!(!text.contains("  "));
    }
}
