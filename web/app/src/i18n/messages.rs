//! Sentences with values in them.

use glyph_web_core::settings::Language;

use super::Strings;

impl Strings {
    fn pick(&self, en: String, zh: String) -> String {
        match self.language_of {
            Language::En => en,
            Language::Zh => zh,
        }
    }

    /// A file is too large to be opened.
    pub fn file_too_large(&self, name: &str, size: &str) -> String {
        self.pick(
            format!("{name} has {size}; files of up to 64 MB are read. Cut it into parts."),
            format!("{name} 有 {size};最多读取 64 MB 的文件。请把它分成几部分。"),
        )
    }

    /// A file is no text.
    pub fn file_refused(&self, name: &str, reason: &str) -> String {
        match reason {
            "empty" => self.pick(
                format!("{name} is empty. Choose a file with text in it."),
                format!("{name} 是空的。请选择一个有内容的文本文件。"),
            ),
            "binary" => self.pick(
                format!(
                    "{name} is not a text: it is neither UTF-8 nor UTF-16 nor GB18030. \
                     Save it as plain text first."
                ),
                format!("{name} 不是文本文件:它不是 UTF-8、UTF-16 或 GB18030。请先另存为纯文本。"),
            ),
            _ => self.pick(
                format!("{name} cannot be read: {reason}"),
                format!("无法读取 {name}:{reason}"),
            ),
        }
    }

    /// Files beside the page are missing.
    pub fn page_incomplete(&self, reason: &str) -> String {
        self.pick(
            format!("Files of this page are missing: {reason}. Reload, or build the page again."),
            format!("页面缺少文件:{reason}。请刷新,或重新构建页面。"),
        )
    }

    /// Nobody answers at an address.
    pub fn server_unreachable(&self, server: &str) -> String {
        self.pick(
            format!(
                "{server} does not answer. Start it with cargo xtask serve; if it runs elsewhere, \
                 start it with --cors-origin and this page's address. Or run the model in this browser."
            ),
            format!(
                "{server} 没有应答。请用 cargo xtask serve 启动;如果它在别处运行,请加上 --cors-origin \
                 和本页的地址。也可以在本浏览器中运行模型。"
            ),
        )
    }

    /// Something else is at an address.
    pub fn server_is_no_api(&self, server: &str) -> String {
        self.pick(
            format!(
                "{server} has no /v1/models: it is not a server with the API of OpenAI. \
                 Enter another address, or run the model in this browser."
            ),
            format!("{server} 没有 /v1/models:它不是 OpenAI 接口的服务器。请填写别的地址,或在本浏览器中运行模型。"),
        )
    }

    /// A server refuses.
    pub fn server_refused(&self, server: &str, reason: &str) -> String {
        self.pick(
            format!("{server} refuses: {reason}"),
            format!("{server} 拒绝了请求:{reason}"),
        )
    }

    /// A server fails without a word.
    pub fn server_failed(&self, server: &str, status: u16) -> String {
        self.pick(
            format!(
                "{server} answers with HTTP {status} and does not say why. Look at what it has \
                 printed, or run the model in this browser."
            ),
            format!(
                "{server} 返回 HTTP {status},没有说明原因。请查看它的输出,或在本浏览器中运行模型。"
            ),
        )
    }

    /// A server ends an answer with an error.
    pub fn server_gave_up(&self, reason: &str) -> String {
        self.pick(
            format!(
                "The server gave up before its answer had ended: {reason}. What came stands here; \
                 ask again, or run the model in this browser."
            ),
            format!(
                "服务器在回答结束之前放弃了:{reason}。已收到的内容在这里;请再问一次,或在本浏览器中运行模型。"
            ),
        )
    }

    /// The tokens of the text are not known.
    pub fn tokens_uncounted(&self, reason: &str) -> String {
        self.pick(
            format!("The text's tokens are not counted: {reason}."),
            format!("没有计算文本的 token:{reason}。"),
        )
    }

    /// The worker with the model has ended.
    pub fn model_crashed(&self, reason: &str) -> String {
        self.pick(
            format!(
                "The model in this browser has failed: {reason}. Ask again: it is then loaded anew. \
                 If that does not help, choose the CPU, a shorter text, or a server."
            ),
            format!(
                "本浏览器中的模型出错了:{reason}。请再问一次,模型会重新加载;如果仍然失败,请选择 CPU、\
                 更短的文本或服务器。"
            ),
        )
    }

    /// What the model is doing before its first word.
    pub fn reading(&self, is_seeing: bool, done: usize, of: usize) -> String {
        if is_seeing {
            return self.pick(
                format!("Looking at the pages: {done} of {of}"),
                format!("正在看页面:{done} / {of}"),
            );
        }
        self.pick(
            format!("Reading: {done} of {of} tokens"),
            format!("正在阅读:{done} / {of} 个 token"),
        )
    }

    /// A page among all.
    pub fn page_of(&self, page: usize, pages: usize) -> String {
        self.pick(
            format!("Page {page} of {pages}"),
            format!("第 {page} 页,共 {pages} 页"),
        )
    }

    /// Why the pages could not be drawn.
    pub fn drawing_failed(&self, reason: &str) -> String {
        self.pick(
            format!("The pages cannot be drawn: {reason}."),
            format!("无法渲染页面:{reason}。"),
        )
    }

    /// More pages than the server takes.
    pub fn too_many_pages(&self, pages: usize, most: usize) -> String {
        self.pick(
            format!(
                "The server takes {most} pages in one question; the text has {pages}. Read the \
                 pages one by one, choose a denser style, or start it with --max-pages {pages}."
            ),
            format!(
                "服务器一次最多接受 {most} 页,文本有 {pages} 页。请逐页阅读、选择更密的样式,\
                 或用 --max-pages {pages} 启动服务器。"
            ),
        )
    }

    /// The pages do not fit the model.
    pub fn context_exceeded(&self, tokens: usize, context: usize) -> String {
        self.pick(
            format!(
                "The pages take {tokens} tokens; the model has room for {context}. Read the pages \
                 one by one, shorten the text, or choose a denser style."
            ),
            format!(
                "页面需要 {tokens} 个 token,模型只能容纳 {context} 个。请逐页阅读、缩短文本,或选择更密的样式。"
            ),
        )
    }
}
