//! The checkpoint's own chat template, rendered with minijinja.

use minijinja::{Environment, context};
use serde::{Serialize, Serializer};

use super::jinja;
use crate::caught::caught_unseen;
use crate::error::{ModelError, Result};

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Instructions.
    System,
    /// The person.
    User,
    /// The model.
    Assistant,
}

/// A piece of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Part {
    /// The next image of the request.
    Image,
    /// Text.
    Text {
        /// The text.
        text: String,
    },
}

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said, in order.
    #[serde(serialize_with = "content_for_template")]
    pub content: Vec<Part>,
}

/// Content without images goes to the template as one string: published templates print the content of system
/// and assistant turns as it is, and walk through a list of parts in user turns only.
fn content_for_template<S: Serializer>(
    content: &[Part],
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    let text: Option<String> = content
        .iter()
        .map(|part| match part {
            Part::Text { text } => Some(text.as_str()),
            Part::Image => None,
        })
        .collect();
    match text {
        Some(text) => serializer.serialize_str(&text),
        None => content.serialize(serializer),
    }
}

impl Message {
    /// A user's turn: `n_images` pages, then the question, as the model was trained.
    pub fn pages_and_question(n_images: usize, question: &str) -> Self {
        let mut content = vec![Part::Image; n_images];
        content.push(Part::Text {
            text: question.to_owned(),
        });
        Self {
            role: Role::User,
            content,
        }
    }
}

/// A compiled chat template.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
}

const NAME: &str = "chat_template";
/// Instructions that one rendering may take: some dozens per message and image.
const MOST_STEPS: u64 = 20_000_000;
/// Longest template: twice the longest that is published. The engine bounds what stands in brackets in brackets, but not
/// `a+1+1…` or `---a`, for which it takes time by the square of their length: of this much some seconds.
const MOST_BYTES: usize = 32 << 10;
/// Stack on which it is compiled: each byte of `---a` takes less than 1 KiB.
#[cfg(not(target_family = "wasm"))]
const STACK_BYTES: usize = 64 << 20;

impl ChatTemplate {
    /// Compiles the template's source (`chat_template.jinja`, or `chat_template` of `tokenizer_config.json`).
    ///
    /// # Errors
    /// [`ModelError::Template`] with the line of the mistake, or when it is longer than 32 KiB.
    pub fn new(source: String) -> Result<Self> {
        if source.len() > MOST_BYTES {
            let reason = format!(
                "it has {} bytes; at most {MOST_BYTES} are read",
                source.len()
            );
            return Err(ModelError::Template { reason });
        }
        let mut environment = jinja::environment();
        // A template comes with the checkpoint: one that never ends must not hang its user.
        environment.set_fuel(Some(MOST_STEPS));
        on_deep_stack(|| environment.add_template_owned(NAME, source))?;
        Ok(Self { environment })
    }

    /// The conversation as one text, with `<|image|>` once per image.
    ///
    /// # Errors
    /// [`ModelError::Template`] with the engine's message.
    pub fn render(&self, messages: &[Message], add_generation_prompt: bool) -> Result<String> {
        guarded(|| {
            self.environment
                .get_template(NAME)
                .and_then(|template| template.render(context! { messages, add_generation_prompt }))
        })
    }
}

/// Work of the engine on a stack that the longest template does not fill.
#[cfg(not(target_family = "wasm"))]
fn on_deep_stack(work: impl FnOnce() -> EngineResult<()> + Send) -> Result<()> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
        let compiled = thread
            .spawn_scoped(scope, || guarded(work))
            .map(|thread| thread.join());
        match compiled {
            Ok(Ok(compiled)) => compiled,
            Ok(Err(_)) => Err(ModelError::Template {
                reason: "compiling it failed".to_owned(),
            }),
            Err(error) => Err(ModelError::Template {
                reason: format!("no thread to compile it could be started: {error}"),
            }),
        }
    })
}

/// A browser gives each worker one stack; a template that fills it ends the worker of its page.
#[cfg(target_family = "wasm")]
fn on_deep_stack(work: impl FnOnce() -> EngineResult<()>) -> Result<()> {
    guarded(work)
}

type EngineResult<T> = std::result::Result<T, minijinja::Error>;

fn guarded<T>(work: impl FnOnce() -> EngineResult<T>) -> Result<T> {
    match caught_unseen(work) {
        Ok(outcome) => outcome.map_err(template_error),
        Err(reason) => Err(ModelError::Template { reason }),
    }
}

fn template_error(error: minijinja::Error) -> ModelError {
    // The engine's longer form shows the values of variables: what the user wrote does not belong into a log.
    ModelError::Template {
        reason: error.to_string(),
    }
}
