//! Many callers at once against a server that runs, each with documents of its own, each answer held against its
//! document:
//!
//! ```sh
//! cargo run --release --example load -- --callers 1,4,16,64 --seconds 60 --pid $(pgrep -x glyph)
//! ```
//!
//! It ends with an error when an answer was lost, cut short, or about another caller's document. Tokens a second are
//! those of the time in which all callers are at work. For a soak, give one number of callers and some minutes: memory is
//! sampled all the while, and the round is followed by what it was.

use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use futures::StreamExt;
use rand::Rng;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

#[derive(Debug, Parser)]
#[command(about = "Measures a running server under load and checks every answer")]
struct Args {
    /// The server.
    #[arg(long, default_value = "http://localhost:8080")]
    url: String,
    /// Its key, if it wants one.
    #[arg(long)]
    api_key: Option<String>,
    /// Numbers of callers, one round of the load for each.
    #[arg(long, value_delimiter = ',', default_value = "1,4,16,64")]
    callers: Vec<usize>,
    /// Seconds of each round.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Lines of a document; the built-in model reads 8 on a page.
    #[arg(long, default_value_t = 8)]
    lines: usize,
    /// Times that each document is asked about before the caller takes another.
    #[arg(long, default_value_t = 1)]
    questions: usize,
    /// Process of the server, whose memory is then watched.
    #[arg(long)]
    pid: Option<u32>,
    /// Seconds between two looks at the memory.
    #[arg(long, default_value_t = 10)]
    sample_seconds: u64,
    /// One JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

/// An answer must be this much like its own document, 1 being equal, and less like every other.
const LEAST_LIKENESS: f64 = 0.4;

const WORDS: [&str; 24] = [
    "river", "stone", "paper", "green", "window", "seven", "market", "winter", "letter", "garden",
    "copper", "silver", "bridge", "candle", "number", "orange", "forest", "ticket", "summer",
    "yellow", "button", "castle", "hammer", "island",
];

/// One answer.
struct Answer {
    tokens: u64,
    asked: Instant,
    first_token: Instant,
    done: Instant,
    likeness: f64,
}

impl Answer {
    fn first_token_s(&self) -> f64 {
        (self.first_token - self.asked).as_secs_f64()
    }

    fn whole_s(&self) -> f64 {
        (self.done - self.asked).as_secs_f64()
    }

    /// How many of its tokens came between two points in time, were they spread evenly from the first to the last.
    fn tokens_within(&self, from: Instant, until: Instant) -> f64 {
        let within = self.done.min(until);
        let within = within.saturating_duration_since(self.first_token.max(from));
        let all = (self.done - self.first_token).as_secs_f64();
        if all > 0.0 {
            self.tokens as f64 * within.as_secs_f64() / all
        } else {
            0.0
        }
    }
}

#[derive(Default)]
struct Round {
    answers: Vec<Answer>,
    failures: Vec<String>,
    /// When all callers were at work: from the first token of the last of them until none asks again.
    all_at_work: Option<(Instant, Instant)>,
    /// Memory of the server from the start to the end.
    memory_mib: Vec<u64>,
}

// One thread: what it is measured beside needs the cores.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args = Arc::new(Args::parse());
    let client = reqwest::Client::new();
    let mut reports = Vec::new();
    let mut n_failures = 0;
    if !args.json {
        println!(
            "callers  answers  tokens/s  first token s (median, p99)  whole s (median)  least likeness  memory MiB"
        );
    }
    for n_callers in args.callers.clone() {
        let round = run_round(&args, &client, n_callers).await;
        n_failures += round.failures.len();
        round
            .failures
            .iter()
            .take(5)
            .for_each(|failure| eprintln!("failed: {failure}"));
        let report = round.report(n_callers);
        if !args.json {
            println!("{}", line(&report));
            if round.memory_mib.len() > 3 {
                let samples: Vec<String> = round.memory_mib.iter().map(u64::to_string).collect();
                println!(
                    "memory MiB every {} s: {}",
                    args.sample_seconds,
                    samples.join(" ")
                );
            }
        }
        reports.push(report);
    }
    if args.json {
        println!("{}", serde_json::to_string_pretty(&reports)?);
    }
    match n_failures {
        0 => Ok(()),
        n => Err(format!("{n} answers were lost, cut short or mixed up").into()),
    }
}

async fn run_round(args: &Arc<Args>, client: &reqwest::Client, n_callers: usize) -> Round {
    let mut round = Round::default();
    round.memory_mib.extend(args.pid.and_then(memory_mib));
    let start = Instant::now();
    let until = start + Duration::from_secs(args.seconds);
    let callers: Vec<_> = (0..n_callers)
        .map(|caller| tokio::spawn(run_caller(Arc::clone(args), client.clone(), caller, until)))
        .collect();
    let mut samples = tokio::time::interval(Duration::from_secs(args.sample_seconds.max(1)));
    samples.tick().await;
    while Instant::now() + samples.period() < until {
        samples.tick().await;
        round.memory_mib.extend(args.pid.and_then(memory_mib));
    }
    let mut from = start;
    for caller in callers {
        match caller.await {
            Ok((answers, failures)) => {
                if let Some(first) = answers.first() {
                    from = from.max(first.first_token);
                }
                round.answers.extend(answers);
                round.failures.extend(failures);
            }
            Err(error) => round.failures.push(error.to_string()),
        }
    }
    round.all_at_work = (from < until).then_some((from, until));
    round.memory_mib.extend(args.pid.and_then(memory_mib));
    round
}

async fn run_caller(
    args: Arc<Args>,
    client: reqwest::Client,
    caller: usize,
    until: Instant,
) -> (Vec<Answer>, Vec<String>) {
    // Documents of an earlier round would be in the server's caches.
    let mut rng = ChaCha8Rng::seed_from_u64(rand::rng().random());
    let (mut answers, mut failures) = (Vec::new(), Vec::new());
    let (mut previous, mut document) = (String::new(), String::new());
    let mut n_asked = 0;
    while Instant::now() < until {
        if n_asked % args.questions.max(1) == 0 {
            previous = std::mem::replace(&mut document, new_document(&mut rng, args.lines));
        }
        n_asked += 1;
        match ask(&args, &client, caller, &document).await {
            Ok((mut answer, text)) => {
                let text = text.trim();
                answer.likeness = strsim::normalized_levenshtein(text, &document);
                let other = strsim::normalized_levenshtein(text, &previous);
                if answer.likeness < LEAST_LIKENESS || other > answer.likeness {
                    failures.push(format!(
                        "caller {caller}: likeness {:.2} of {text:?} and {document:?}",
                        answer.likeness
                    ));
                }
                answers.push(answer);
            }
            Err(failure) => failures.push(format!("caller {caller}: {failure}")),
        }
    }
    (answers, failures)
}

/// Lines of words with numbers that no other caller's document has. Hardly anything stands there twice: the built-in
/// model loses its place in a text that repeats itself, and what is looked for here are answers that belong to others.
fn new_document(rng: &mut ChaCha8Rng, lines: usize) -> String {
    let mut line = || {
        let words: Vec<String> = (0..3)
            .map(|_| {
                let word = WORDS[rng.random_range(0..WORDS.len())];
                format!("{word} {}", rng.random_range(100..1000))
            })
            .collect();
        words.join(" ")
    };
    let lines: Vec<String> = (0..lines).map(|_| line()).collect();
    lines.join("\n")
}

async fn ask(
    args: &Args,
    client: &reqwest::Client,
    caller: usize,
    document: &str,
) -> Result<(Answer, String), String> {
    let body = json!({
        "messages": [{ "role": "user", "content": [
            { "type": "document", "text": document },
            { "type": "text", "text": "Read the page." },
        ]}],
        "user": format!("caller-{caller}"),
        "max_tokens": 400,
        "stream": true,
        "stream_options": { "include_usage": true },
    });
    let asked = Instant::now();
    let mut request = client
        .post(format!("{}/v1/chat/completions", args.url))
        .json(&body);
    if let Some(key) = &args.api_key {
        request = request.bearer_auth(key);
    }
    let response = request.send().await.map_err(|error| error.to_string())?;
    let status = response.status();
    if !status.is_success() {
        let text = response.text().await.unwrap_or_default();
        return Err(format!("{status}: {text}"));
    }
    let mut bytes = response.bytes_stream();
    let (mut buffer, mut text) = (Vec::new(), String::new());
    let (mut first_token, mut tokens, mut finish, mut is_done) = (None, 0, None, false);
    while let Some(chunk) = bytes.next().await {
        buffer.extend_from_slice(&chunk.map_err(|error| error.to_string())?);
        while let Some(end) = buffer.windows(2).position(|two| two == b"\n\n") {
            let event: Vec<u8> = buffer.drain(..end + 2).collect();
            let event = String::from_utf8_lossy(&event);
            let Some(data) = event.trim().strip_prefix("data: ") else {
                continue;
            };
            if data == "[DONE]" {
                is_done = true;
                continue;
            }
            let value: Value = serde_json::from_str(data).map_err(|error| error.to_string())?;
            if let Some(error) = value.get("error") {
                return Err(error.to_string());
            }
            let piece = value["choices"][0]["delta"]["content"].as_str();
            if let Some(piece) = piece.filter(|piece| !piece.is_empty()) {
                first_token.get_or_insert_with(Instant::now);
                text.push_str(piece);
            }
            if let Some(reason) = value["choices"][0]["finish_reason"].as_str() {
                finish = Some(reason.to_owned());
            }
            if let Some(n) = value["usage"]["completion_tokens"].as_u64() {
                tokens = n;
            }
        }
    }
    let done = Instant::now();
    match (is_done, finish.as_deref()) {
        (true, Some("stop" | "length")) => Ok((
            Answer {
                tokens,
                asked,
                first_token: first_token.unwrap_or(done),
                done,
                likeness: 0.0,
            },
            text,
        )),
        (_, reason) => Err(format!(
            "the stream ended with {reason:?} and without [DONE]"
        )),
    }
}

impl Round {
    fn report(&self, n_callers: usize) -> Value {
        let sorted = |of: fn(&Answer) -> f64| {
            let mut values: Vec<f64> = self.answers.iter().map(of).collect();
            values.sort_by(f64::total_cmp);
            values
        };
        let at = |values: &[f64], share: f64| {
            let place = (values.len().saturating_sub(1) as f64 * share).round() as usize;
            values.get(place).copied()
        };
        let (first, whole) = (sorted(Answer::first_token_s), sorted(Answer::whole_s));
        let tokens_per_s = self.all_at_work.map(|(from, until)| {
            let tokens = self.answers.iter().map(|a| a.tokens_within(from, until));
            tokens.sum::<f64>() / (until - from).as_secs_f64()
        });
        json!({
            "callers": n_callers,
            "answers": self.answers.len(),
            "failures": self.failures.len(),
            "tokens_per_s": tokens_per_s,
            "first_token_median_s": at(&first, 0.5),
            "first_token_p99_s": at(&first, 0.99),
            "whole_median_s": at(&whole, 0.5),
            "least_likeness": at(&sorted(|a| a.likeness), 0.0),
            "memory_before_mib": self.memory_mib.first(),
            "memory_most_mib": self.memory_mib.iter().max(),
            "memory_after_mib": self.memory_mib.last(),
            "memory_mib": self.memory_mib,
        })
    }
}

fn line(report: &Value) -> String {
    let number = |key: &str| report[key].as_f64().unwrap_or(f64::NAN);
    format!(
        "{:>7}  {:>7}  {:>8.0}  {:>13.3} {:>13.3}  {:>16.3}  {:>14.2}  {:>4.0} → {:.0}",
        report["callers"],
        report["answers"],
        number("tokens_per_s"),
        number("first_token_median_s"),
        number("first_token_p99_s"),
        number("whole_median_s"),
        number("least_likeness"),
        number("memory_before_mib"),
        number("memory_after_mib"),
    )
}

/// Memory that a process holds, on Linux.
fn memory_mib(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024)
}
