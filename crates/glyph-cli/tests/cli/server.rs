//! A served model, called as its clients call it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::run::{glyph, outcome};

/// A server in a process of its own; it is killed when the test ends.
pub struct Server {
    process: Child,
    /// Such as `127.0.0.1:43210`.
    address: String,
    /// The line that it printed.
    pub line: String,
}

/// An answer: status, and what follows the head.
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Server {
    pub fn start(args: &[&str]) -> Self {
        let all = [&["serve", "--host", "127.0.0.1", "--port", "0"], args].concat();
        Self::of(glyph(&all))
    }

    pub fn of(mut command: Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut line = String::new();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        if line.is_empty() {
            let failed = outcome(&process.wait_with_output().unwrap());
            panic!("the server did not start: {failed:?}");
        }
        let address = line.trim().rsplit("http://").next().unwrap().to_owned();
        Self {
            process,
            address,
            line,
        }
    }

    pub fn send(&self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        let mut connection = TcpStream::connect(&self.address).unwrap();
        connection
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        let n_bytes = body.len();
        write!(
            connection,
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-length: {n_bytes}\r\n{headers}\r\n{body}",
            self.address
        )
        .unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        Answer {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            head: head.to_owned(),
            body: body.to_owned(),
        }
    }

    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, "", "")
    }

    /// The text of an answer about a document, its usage, and how it ended.
    pub fn read(&self, document: &str) -> Value {
        let body = serde_json::json!({
            "messages": [{"role": "user", "content": [
                {"type": "document", "text": document},
                {"type": "text", "text": "Read the page."},
            ]}],
            "temperature": 0,
            "presence_penalty": -2,
            "max_tokens": 60,
        });
        let answer = self.send("POST", "/v1/chat/completions", "", &body.to_string());
        assert_eq!(answer.status, 200, "{}", answer.body);
        let answer: Value = serde_json::from_str(&answer.body).unwrap();
        answer["choices"][0].clone()
    }

    pub fn ask(&self, question: &str, max_tokens: usize) -> Answer {
        let body = serde_json::json!({
            "messages": [{"role": "user", "content": question}],
            "max_tokens": max_tokens,
        });
        let body = body.to_string();
        self.send("POST", "/v1/chat/completions", "", &body)
    }

    /// Sends the signal that an orchestrator sends; returns exit code and standard error.
    #[cfg(unix)]
    pub fn stop(mut self) -> (i32, String) {
        let id = self.process.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &id]).status().unwrap();
        assert!(sent.success());
        let mut errors = String::new();
        let mut pipe = self.process.stderr.take().unwrap();
        pipe.read_to_string(&mut errors).unwrap();
        (self.process.wait().unwrap().code().unwrap(), errors)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A process that has ended cannot be killed again.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
