//! What is measured of a checkpoint on held-out data: which questions, on how many pages, and what a shipped model should
//! reach.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};

use crate::data::{Document, Family, Generator, PageGrid, Reading, Sample, Split, Task};
use crate::written;

/// A held-out measurement.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Exam {
    pub(crate) name: &'static str,
    pub(crate) family: Family,
    pub(crate) reading: Option<Reading>,
    /// What is looked up in; all kinds of the family where none is given.
    pub(crate) document: Option<Document>,
    /// Values of a needle's key.
    pub(crate) n_values: usize,
    pub(crate) n_pages: usize,
    /// Samples in a hundred with indents, columns and empty lines.
    pub(crate) spaced_percent: usize,
    /// Whether it is running text, which the renderer wraps, and not lines.
    pub(crate) flows: bool,
    /// Whether look-ups have the shapes that came late, see [`Generator::with_all_shapes`].
    pub(crate) has_all_shapes: bool,
    /// Whether the questions are written by hand.
    pub(crate) written: bool,
    pub(crate) bar: Option<f64>,
}

pub(crate) const EXAMS: [Exam; 23] = [
    exam("read prose", Family::Read, Some(Reading::Prose), 1, 0.01),
    exam(
        "read random strings",
        Family::Read,
        Some(Reading::Random),
        1,
        0.02,
    ),
    exam(
        "read word salad",
        Family::Read,
        Some(Reading::Salad),
        1,
        0.01,
    ),
    exam("read code", Family::Read, Some(Reading::Code), 1, 0.02),
    spaced("read with white space", Family::Read, 0.02),
    exam("read tables", Family::Read, Some(Reading::Table), 1, 0.02),
    Exam {
        bar: None,
        ..exam(
            "read lines that look alike",
            Family::Read,
            Some(Reading::Alike),
            1,
            0.0,
        )
    },
    exam("needle", Family::Needle, None, 1, 0.98),
    exam("needle", Family::Needle, None, 2, 0.90),
    exam("needle", Family::Needle, None, 4, 0.90),
    exam("needle", Family::Needle, None, 8, 0.90),
    flowing("needle in running text", Family::Needle, 4, 0.90),
    flowing("needle in running text", Family::Needle, 8, 0.90),
    Exam {
        n_values: 2,
        bar: None,
        ..exam("needle, two values", Family::Needle, None, 1, 0.0)
    },
    exam("look-up", Family::Lookup, None, 1, 0.95),
    exam("look-up", Family::Lookup, None, 4, 0.95),
    flowing("look-up in running text", Family::Lookup, 4, 0.95),
    spaced("look-up with white space", Family::Lookup, 0.95),
    Exam {
        document: Some(Document::Columns),
        ..exam("look-up in columns", Family::Lookup, None, 1, 0.95)
    },
    Exam {
        has_all_shapes: true,
        ..exam("look-up of all shapes", Family::Lookup, None, 1, 0.95)
    },
    exam("not there", Family::NotThere, None, 1, 0.95),
    exam("not there", Family::NotThere, None, 4, 0.95),
    Exam {
        written: true,
        bar: None,
        ..exam("questions written by hand", Family::Lookup, None, 1, 0.0)
    },
];

const fn exam(
    name: &'static str,
    family: Family,
    reading: Option<Reading>,
    n_pages: usize,
    bar: f64,
) -> Exam {
    Exam {
        name,
        family,
        reading,
        document: None,
        n_values: 1,
        n_pages,
        spaced_percent: 0,
        flows: false,
        has_all_shapes: false,
        written: false,
        bar: Some(bar),
    }
}

/// Of running text on several pages; on one it looks like lines.
const fn flowing(name: &'static str, family: Family, n_pages: usize, bar: f64) -> Exam {
    Exam {
        flows: true,
        ..exam(name, family, None, n_pages, bar)
    }
}

/// Of one page with indents, columns and empty lines.
const fn spaced(name: &'static str, family: Family, bar: f64) -> Exam {
    Exam {
        spaced_percent: 100,
        ..exam(name, family, None, 1, bar)
    }
}

/// The exams that have one of `tasks` in their name, or all.
pub(crate) fn exams_of(tasks: &[String]) -> Result<Vec<&'static Exam>> {
    let is_named = |exam: &Exam, task: &String| exam.name.contains(task.as_str());
    for task in tasks {
        ensure!(
            EXAMS.iter().any(|exam| is_named(exam, task)),
            "nothing is measured under the name {task:?}; there are {}",
            Vec::from_iter(BTreeSet::from(EXAMS.map(|exam| exam.name))).join(", ")
        );
    }
    let is_asked = |exam: &&Exam| tasks.is_empty() || tasks.iter().any(|task| is_named(exam, task));
    Ok(EXAMS.iter().filter(is_asked).collect())
}

/// Samples of an exam, `n_samples` of them, or all that are written by hand where these are fewer.
pub(crate) fn draw_samples(
    exam: &Exam,
    split: Split,
    seed: u64,
    n_samples: usize,
    grid: PageGrid,
) -> Result<Vec<Sample>> {
    if exam.written {
        return written::samples(n_samples);
    }
    let mut tasks = match (exam.reading, exam.document) {
        (Some(reading), _) => vec![Task::Read(reading)],
        (None, Some(document)) => vec![Task::Lookup(document)],
        (None, None) => exam.family.tasks(),
    };
    tasks.retain(|task| !matches!(task, Task::Needle(spec) if spec.values != exam.n_values));
    let mut generator = Generator::new(seed, split)
        .with_spacing(exam.spaced_percent)
        .with_flow(if exam.flows { 100 } else { 0 })
        .with_all_shapes(exam.has_all_shapes);
    (0..n_samples)
        .map(|i| Ok(generator.sample(tasks[i % tasks.len()], grid, exam.n_pages)?))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{EXAMS, exams_of};

    #[test]
    fn tasks_are_picked_by_a_part_of_their_name() {
        let picked = |tasks: &[&str]| {
            let tasks: Vec<String> = tasks.iter().map(|task| (*task).to_owned()).collect();
            exams_of(&tasks)
        };
        assert_eq!(picked(&[]).unwrap().len(), EXAMS.len());
        let names = |tasks| -> Vec<&str> {
            let exams = picked(tasks).unwrap();
            exams.into_iter().map(|exam| exam.name).collect()
        };
        let white_space = ["read with white space", "look-up with white space"];
        assert_eq!(names(&["white space"]), white_space);
        assert_eq!(names(&["look-up", "read"]).len(), 13);
        let unknown = picked(&["look-up", "lookup"]).unwrap_err().to_string();
        assert!(
            unknown.contains("\"lookup\"") && unknown.contains("not there, questions"),
            "{unknown}"
        );
    }
}
