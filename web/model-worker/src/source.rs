//! Where the files of a checkpoint come from.

use glyph_web_core::messages::ListedFile;
use glyph_worker::{MessageError, array};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::File;

/// Where files come from.
pub enum Source {
    /// A directory, and its files where they are known.
    Address(String, Option<Vec<ListedFile>>),
    /// Files of a folder, without those of folders in it.
    Folder(Vec<File>),
}

impl Source {
    /// As the message says.
    pub fn new(
        base: Option<String>,
        listing: Option<Vec<ListedFile>>,
        message: &JsValue,
    ) -> Result<Self, MessageError> {
        const OPTION: &str = "files";
        if let Some(base) = base {
            return Ok(Self::Address(base, listing));
        }
        let files = array(message, OPTION)?.into_iter().map(|file| {
            let file = file.dyn_into::<File>();
            file.map_err(|other| MessageError::argument(OPTION, &other, "an array of Files"))
        });
        Ok(Self::Folder(files.collect::<Result<_, _>>()?))
    }
}
