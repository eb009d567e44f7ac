//! Sentences about servers: their addresses, keys and errors.

use glyph_web_core::settings::Language;
use glyph_web_core::sse::{MOST_EVENT_BYTES, StreamError};

use super::Strings;

impl Strings {
    /// Nobody answers at an address.
    pub fn server_unreachable(&self, server: &str) -> String {
        self.pick(
            format!(
                "{server} does not answer. Start it with cargo xtask serve; if it runs elsewhere, \
                 start it with --cors-origin and this page's address. Or run the model in this browser."
            ),
            format!(
                "{server} 没有应答。请用 cargo xtask serve 启动；如果它在别处运行，请加上 --cors-origin \
                 和本页的地址。也可以在本浏览器中运行模型。"
            ),
        )
    }

    /// A browser keeps a page of https from asking a server of http.
    pub fn server_blocked(&self, server: &str) -> String {
        self.pick(
            format!(
                "The browser keeps this page, which came by https, from asking {server} by plain http. \
                 Give the server https, open the page that the server itself has, or run the model in \
                 this browser."
            ),
            format!(
                "本页通过 https 打开，浏览器不允许它用 http 访问 {server}。请让服务器使用 https，\
                 打开服务器自带的页面，或在本浏览器中运行模型。"
            ),
        )
    }

    /// What was entered is no address of a server.
    pub fn address_refused(&self, entered: &str) -> String {
        self.pick(
            format!(
                "“{entered}” is not the address of a server. Enter one such as \
                 http://localhost:8080, or nothing: the server that this page comes from."
            ),
            format!(
                "“{entered}”不是服务器的地址。请填写类似 http://localhost:8080 的地址，\
                 或留空以使用本页所在的服务器。"
            ),
        )
    }

    /// A key has a character that cannot be sent.
    pub fn key_refused(&self, character: char) -> String {
        let code = format!("U+{:04X}", u32::from(character));
        // Many of those that slip in are invisible.
        let character = match character.is_alphanumeric() {
            true => format!("“{character}” ({code})"),
            false => code,
        };
        self.pick(
            format!(
                "The key has a character that cannot be sent: {character}. Keys are made of ASCII \
                 letters, digits and punctuation; enter it again."
            ),
            format!(
                "密钥中有无法发送的字符：{character}。密钥由 ASCII 字母、数字和标点组成，请重新填写。"
            ),
        )
    }

    /// A server does not take the key that was sent.
    pub fn key_not_taken(&self, server: &str, reason: Option<&str>) -> String {
        let Some(reason) = reason.map(|reason| reason.trim_end_matches(['.', '。'])) else {
            return self.pick(
                format!("{server} refuses this key. Enter another one."),
                format!("{server} 拒绝了这个密钥。请填写别的密钥。"),
            );
        };
        self.pick(
            format!("{server} refuses this key: {reason}. Enter another one."),
            format!("{server} 拒绝了这个密钥：{reason}。请填写别的密钥。"),
        )
    }

    /// A server answers something else than a stream.
    pub fn server_no_stream(&self, server: &str, content_type: &str) -> String {
        let content_type = match (content_type, self.language_of) {
            ("", Language::En) => "something without a content type",
            ("", Language::Zh) => "没有内容类型的数据",
            _ => content_type,
        };
        self.pick(
            format!(
                "{server} answered, but not with a stream of events (text/event-stream): it sent \
                 {content_type}. Check its address and that it can stream, or run the model in this \
                 browser."
            ),
            format!(
                "{server} 有应答，但不是事件流（text/event-stream），而是 {content_type}。\
                 请检查地址以及它是否支持流式输出，或在本浏览器中运行模型。"
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
            format!("{server} 没有 /v1/models：它不是 OpenAI 接口的服务器。请填写别的地址，或在本浏览器中运行模型。"),
        )
    }

    /// A server has the API and an empty list of models.
    pub fn server_has_no_model(&self, server: &str) -> String {
        self.pick(
            format!(
                "{server} answers, but its list of models is empty. Start it with a model and try again, \
                 enter another address, or run the model in this browser."
            ),
            format!(
                "{server} 有应答，但它的模型列表是空的。请让它加载模型后重试、填写别的地址，\
                 或在本浏览器中运行模型。"
            ),
        )
    }

    /// A server refuses.
    pub fn server_refused(&self, server: &str, reason: &str) -> String {
        self.pick(
            format!("{server} refuses: {reason}"),
            format!("{server} 拒绝了请求：{reason}"),
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
                "{server} 返回 HTTP {status}，没有说明原因。请查看它的输出，或在本浏览器中运行模型。"
            ),
        )
    }

    /// A server ends an answer with an error, which may have no words.
    pub fn server_gave_up(&self, reason: Option<&str>) -> String {
        let reason = match (reason, self.language_of) {
            (Some(reason), _) => reason,
            (None, Language::En) => "it does not say why",
            (None, Language::Zh) => "没有说明原因",
        };
        self.pick(
            format!(
                "The server gave up before its answer had ended: {reason}. What came stands here; \
                 ask again, or run the model in this browser."
            ),
            format!(
                "服务器在回答结束之前放弃了：{reason}。已收到的内容在这里；请再问一次，或在本浏览器中运行模型。"
            ),
        )
    }

    /// What a server streams is no answer.
    pub fn stream_unreadable(&self, error: &StreamError) -> String {
        let (en, zh) = match error {
            StreamError::NoJson(beginning) => (
                format!("it sent what is no JSON: {beginning}"),
                format!("它发来的内容不是 JSON：{beginning}"),
            ),
            StreamError::LargeEvent => {
                let most = MOST_EVENT_BYTES / 1_000_000;
                (
                    format!("it sent an event of more than {most} MB"),
                    format!("它发来的一个事件超过 {most} MB"),
                )
            }
        };
        self.pick(
            format!(
                "The server's answer cannot be read on: {en}. What came stands here; ask again, enter \
                 another address, or run the model in this browser."
            ),
            format!(
                "无法继续读取服务器的回答：{zh}。已收到的内容在这里；请再问一次、填写别的地址，\
                 或在本浏览器中运行模型。"
            ),
        )
    }
}
