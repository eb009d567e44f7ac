//! What the page knows, in one place that all views share.

use std::sync::Arc;

use glyph_web_core::accounting::Accounting;
use glyph_web_core::accounting::KV_BYTES_OF_9B;
use glyph_web_core::keys::ApiKeys;
use glyph_web_core::messages::{LoadedModel, PageFigures, RenderSummary, SizeRules};
use glyph_web_core::settings::{Language, Runner, Settings};
use glyph_web_core::stage::DrawingStage;
use glyph_web_core::style::StyleBase;
use leptos::prelude::*;
use serde_json::{Map, Value};
use web_sys::{AbortController, Blob};

use crate::browser;
use crate::exchange::Exchange;
use crate::export::Packing;
use crate::i18n::{Strings, strings};
use crate::model::{Folder, LoadProgress, TabModel};
use crate::server::ServerState;
use crate::text::{Reading, Refusal, Text};

const SETTINGS_KEY: &str = "glyph-settings";
const API_KEYS: &str = "glyph-api-keys";

/// A drawn page.
#[derive(Debug, Clone)]
pub struct Tile {
    /// The drawing that it belongs to.
    pub drawing_id: u32,
    /// Its size and tokens.
    pub figures: PageFigures,
    /// Its PNG file.
    pub blob: Blob,
}

/// How far the drawing has come.
#[derive(Debug, Clone, PartialEq)]
pub enum Drawing {
    /// There is no text.
    Idle,
    /// Pages are coming.
    Running {
        /// What it does; nothing until the style is known.
        stage: Option<DrawingStage>,
        /// Share that is done.
        share: f64,
    },
    /// All pages are there.
    Done(Arc<RenderSummary>),
    /// The person ended it.
    Cancelled,
    /// It failed; why.
    Failed(String),
}

/// Tokens of the text by the tokenizer of whoever would answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum TextTokens {
    /// Not counted yet.
    #[default]
    Unknown,
    /// So many.
    Known(usize),
    /// They cannot be counted; why.
    Refused(Uncounted),
}

/// Why the tokens of the text are not counted.
#[derive(Debug, Clone, PartialEq)]
pub enum Uncounted {
    /// The model in this tab is not loaded.
    NoModel,
    /// The server has not named a model.
    NoServer,
    /// The server has no route for it.
    NoRoute,
    /// It was tried; what went wrong.
    Failed(String),
}

impl Uncounted {
    /// The reason in the page's words.
    pub fn reason(&self, words: &Strings) -> String {
        match self {
            Self::NoModel => words.tokens_need_model.to_owned(),
            Self::NoServer => words.server_not_ready.to_owned(),
            Self::NoRoute => words.server_cannot_count.to_owned(),
            Self::Failed(reason) => reason.clone(),
        }
    }
}

impl TextTokens {
    /// Their number.
    pub fn count(&self) -> Option<usize> {
        match self {
            Self::Known(count) => Some(*count),
            _ => None,
        }
    }
}

/// The files of the built-in model that the page reads itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BuiltIn {
    /// Name of the model.
    pub name: String,
    /// Bytes of all its files.
    pub bytes: u64,
    /// Its `render.json`.
    pub style: Map<String, Value>,
    /// How its tokens are counted.
    pub rules: SizeRules,
    /// Bytes of keys and values per token.
    pub kv_bytes_per_token: u64,
}

/// The page's state. Cheap to copy.
#[derive(Clone, Copy)]
pub struct State {
    /// What the person has chosen.
    pub settings: RwSignal<Settings>,
    /// The servers' keys, kept for this tab alone.
    pub api_keys: RwSignal<ApiKeys>,
    /// The text.
    pub text: RwSignal<Text>,
    /// The text that is being read, to take its place.
    pub reading: RwSignal<Option<Reading>>,
    /// What the person is told of a text or a file, until there is another.
    pub text_notice: RwSignal<Option<String>>,
    /// The last text that was to be read, if it is not here.
    pub refused_text: RwSignal<Option<Refusal>>,
    /// The text's pages.
    pub tiles: RwSignal<Vec<Tile>, LocalStorage>,
    /// Counts the drawings: tiles of different ones are different.
    pub drawing_id: RwSignal<u32>,
    /// Counts how often the person wants the same drawn again.
    pub attempt: RwSignal<u32>,
    /// How far they are.
    pub drawing: RwSignal<Drawing>,
    /// The archive of pages that is being packed.
    pub packing: RwSignal<Option<Packing>>,
    /// Ends its packing.
    pub packing_abort: StoredValue<Option<AbortController>, LocalStorage>,
    /// Ends the drawing that is under way.
    pub drawing_abort: StoredValue<Option<AbortController>, LocalStorage>,
    /// Tokens of the text.
    pub text_tokens: RwSignal<TextTokens>,
    /// The built-in model, once its files are read.
    pub built_in: RwSignal<Option<Arc<BuiltIn>>>,
    /// Whether they are still being read.
    pub is_starting: RwSignal<bool>,
    /// The server.
    pub server: RwSignal<ServerState>,
    /// The model in this tab.
    pub model: RwSignal<TabModel, LocalStorage>,
    /// The folder that it comes from, if it does.
    pub folder: RwSignal<Option<Folder>, LocalStorage>,
    /// Why the model that ran on WebGPU here has ended: the next one runs on the CPU, where the person leaves
    /// the choice to the page.
    pub webgpu_failure: RwSignal<Option<String>>,
    /// How far its loading is.
    pub load_progress: RwSignal<LoadProgress>,
    /// Questions and answers, the last one first.
    pub exchanges: RwSignal<Vec<Exchange>, LocalStorage>,
    /// What the person is told that has no other place.
    pub notice: RwSignal<Option<String>>,
}

impl State {
    /// With what was kept.
    pub fn new() -> Self {
        let kept = browser::stored(browser::local_storage(), SETTINGS_KEY).unwrap_or_default();
        let keys = browser::stored(browser::session_storage(), API_KEYS).unwrap_or_default();
        Self {
            settings: RwSignal::new(Settings::from_json(&kept)),
            api_keys: RwSignal::new(ApiKeys::from_json(&keys)),
            text: RwSignal::new(Text::default()),
            reading: RwSignal::new(None),
            packing: RwSignal::new(None),
            packing_abort: StoredValue::new_local(None),
            text_notice: RwSignal::new(None),
            refused_text: RwSignal::new(None),
            tiles: RwSignal::new_local(Vec::new()),
            drawing_id: RwSignal::new(0),
            attempt: RwSignal::new(0),
            drawing: RwSignal::new(Drawing::Idle),
            drawing_abort: StoredValue::new_local(None),
            text_tokens: RwSignal::new(TextTokens::Unknown),
            built_in: RwSignal::new(None),
            is_starting: RwSignal::new(true),
            server: RwSignal::new(ServerState::default()),
            model: RwSignal::new_local(TabModel::default()),
            folder: RwSignal::new_local(None),
            webgpu_failure: RwSignal::new(None),
            load_progress: RwSignal::new(LoadProgress::default()),
            exchanges: RwSignal::new_local(Vec::new()),
            notice: RwSignal::new(None),
        }
    }

    /// Keeps settings and keys whenever they change.
    pub fn keep(self) {
        Effect::new(move || {
            let json = self.settings.with(Settings::to_json);
            browser::store(browser::local_storage(), SETTINGS_KEY, &json);
        });
        Effect::new(move || {
            let json = self.api_keys.with(ApiKeys::to_json);
            browser::store(browser::session_storage(), API_KEYS, &json);
        });
    }

    /// The page's language.
    pub fn language(self) -> Language {
        self.settings
            .with(|settings| settings.language)
            .unwrap_or_else(|| {
                let tag = window().navigator().language().unwrap_or_default();
                Language::of_browser(&tag)
            })
    }

    /// The page's words.
    pub fn words(self) -> &'static Strings {
        strings(self.language())
    }

    /// Where answers come from.
    pub fn runner(self) -> Runner {
        let chosen = self.settings.with(|settings| settings.runner);
        chosen.unwrap_or_else(|| self.server.with(ServerState::default_runner))
    }

    /// Name of the model that would answer.
    pub fn model_name(self) -> String {
        match self.runner() {
            Runner::Server => {
                let chosen = self.settings.with(|settings| settings.server_model.clone());
                self.server
                    .with(|server| server.model(chosen.as_deref()))
                    .unwrap_or_default()
            }
            Runner::Tab => self.model.with(|model| match model.info() {
                Some(info) => info.name.clone(),
                None => self.tab_model_name(),
            }),
        }
    }

    /// Name of the model that this tab would load.
    pub fn tab_model_name(self) -> String {
        if let Some(name) = self
            .folder
            .with(|folder| Some(folder.as_ref()?.name.clone()))
        {
            return name;
        }
        let url = self.settings.with(|settings| settings.model_url.clone());
        let name = url
            .trim_end_matches('/')
            .rsplit('/')
            .next()
            .unwrap_or_default();
        if name.is_empty() {
            let built_in = self.built_in.get();
            return built_in.map(|model| model.name.clone()).unwrap_or_default();
        }
        name.to_owned()
    }

    /// The built-in model, where it is the one that would answer, or where nobody else is known yet.
    pub fn answering_built_in(self) -> Option<Arc<BuiltIn>> {
        let is_of_settings = self.folder.with(Option::is_none)
            && self
                .settings
                .with(|settings| settings.model_url.trim().is_empty());
        let runner = self.runner();
        let name = self.model_name();
        // In the tab any other model may have its name.
        let is_it = |built_in: &Arc<BuiltIn>| match runner {
            Runner::Tab => is_of_settings,
            Runner::Server => name.is_empty() || built_in.name == name,
        };
        self.built_in.get().filter(is_it)
    }

    /// The model in this tab, where it is loaded and the one that would answer.
    pub fn answering_loaded(self) -> Option<Arc<LoadedModel>> {
        match self.runner() {
            Runner::Server => None,
            Runner::Tab => self.model.with(|model| model.info().cloned()),
        }
    }

    /// The style that changes are made to; `None` is the official one.
    pub fn base_style(self) -> Option<Map<String, Value>> {
        if self.settings.with(|settings| settings.style.base) == StyleBase::Official {
            return None;
        }
        self.model_style()
    }

    /// The style of the model that would answer; `None` where it has none, or it is not known.
    fn model_style(self) -> Option<Map<String, Value>> {
        if let Some(loaded) = self.answering_loaded() {
            return loaded.style.clone();
        }
        let built_in = self.answering_built_in()?;
        Some(built_in.style.clone())
    }

    /// How tokens of pages are counted.
    pub fn rules(self) -> SizeRules {
        if let Some(loaded) = self.answering_loaded() {
            return loaded.rules;
        }
        let built_in = self.answering_built_in();
        built_in.map(|built_in| built_in.rules).unwrap_or_default()
    }

    /// Bytes of keys and values per token, and whether they are those of the model that answers.
    pub fn kv_bytes_per_token(self) -> (u64, bool) {
        if let Some(loaded) = self.answering_loaded() {
            return (loaded.kv_bytes_per_token as u64, true);
        }
        let built_in = self.answering_built_in();
        built_in.map_or((KV_BYTES_OF_9B, false), |built_in| {
            (built_in.kv_bytes_per_token, true)
        })
    }

    /// How many pages there are, and the vision tokens of all of them.
    pub fn pages_and_tokens(self) -> (usize, usize) {
        self.tiles.with(|tiles| {
            let tokens = tiles.iter().map(|tile| tile.figures.vision_tokens).sum();
            (tiles.len(), tokens)
        })
    }

    /// The figures of text and pages.
    pub fn accounting(self) -> Accounting {
        let (pages, vision_tokens) = self.pages_and_tokens();
        Accounting {
            characters: self.text.with(|text| text.characters),
            text_tokens: self.text_tokens.with(TextTokens::count),
            pages,
            vision_tokens,
            kv_bytes_per_token: self.kv_bytes_per_token().0,
        }
    }
}

/// The state that all views share.
pub fn state() -> State {
    expect_context()
}
