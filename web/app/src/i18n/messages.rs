//! Sentences with values in them.

use glyph_web_core::settings::Language;
use glyph_web_core::webgpu::WebGpuFailure;

use super::Strings;

/// What a value of a style must be, in Chinese; the renderer says it in English.
fn allowed_zh(allowed: &str) -> String {
    let (allowed, unit) = match allowed.strip_suffix(" (points)") {
        Some(allowed) => (allowed, "（pt）"),
        None => (allowed, ""),
    };
    let range = allowed.strip_prefix("a number from ");
    if let Some((least, most)) = range.and_then(|range| range.split_once(" to ")) {
        let least = least
            .replace(" (which cancels the frame padding)", "（抵消边框的内边距）")
            .replace(" (or 0, which is font-size and 1)", "（或 0，即字号加 1）");
        return format!(" {least} 到 {most} 之间的数{unit}");
    }
    let zh = match allowed {
        "two numbers above 0 and at most 14400" => "两个大于 0、不超过 14400 的数",
        "width and height in points, such as \"595,842\"" => {
            "以 pt 为单位的宽和高，例如 \"595,842\""
        }
        "a number" => "数字",
        "a non-empty string" => "非空的文字",
        "true or false" => " true 或 false",
        "a color such as \"#1A2B3C\"" => "颜色，例如 \"#1A2B3C\"",
        "LEFT, CENTER, RIGHT or JUSTIFY" => " LEFT、CENTER、RIGHT 或 JUSTIFY",
        _ if allowed.starts_with("made of <br/>") => {
            "由 <br/>、普通文字和 <font color=\"#RRGGBB\">普通文字</font> 组成的文字，最多 1000 字节"
        }
        _ => allowed,
    };
    format!("{zh}{unit}")
}

impl Strings {
    pub(super) fn pick(&self, en: String, zh: String) -> String {
        match self.language_of {
            Language::En => en,
            Language::Zh => zh,
        }
    }

    /// A file is too large to be opened.
    pub fn file_too_large(&self, name: &str, size: &str) -> String {
        self.pick(
            format!("{name} has {size}; files of up to 64 MB are read. Cut it into parts."),
            format!("{name} 有 {size}；最多读取 64 MB 的文件。请把它分成几部分。"),
        )
    }

    /// A text is being read.
    pub fn text_being_read(&self, name: &str, size: &str) -> String {
        self.pick(
            format!("Reading {name}, {size}"),
            format!("正在读取 {name}，{size}"),
        )
    }

    /// A question was about a text that is read no more.
    pub fn reading_cancelled(&self, name: &str) -> String {
        self.pick(
            format!(
                "{name} is not here: its reading was cancelled, and the question was about it. Open it \
                 again, or ask about the text that is there."
            ),
            format!("{name} 的读取已取消，而问题是针对它的。请重新打开它，或针对现有的文本提问。"),
        )
    }

    /// An archive is being packed; pressing it ends that.
    pub fn packing(&self, done: usize, of: usize) -> String {
        self.pick(
            format!("Packing {done} of {of}: cancel"),
            format!("正在打包 {done}/{of}：取消"),
        )
    }

    /// Several files were dropped.
    pub fn first_file_read(&self, name: &str, files: usize) -> String {
        self.pick(
            format!("{files} files were dropped; only the first is read: {name}."),
            format!("拖入了 {files} 个文件，只读取第一个：{name}。"),
        )
    }

    /// The pages' KV cache, and whose it is.
    pub fn kv_of_pages(&self, whose: &str) -> String {
        let what = self.kv_pages;
        self.pick(format!("{what} ({whose})"), format!("{what}（{whose}）"))
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
                    "{name} is not a text: it is neither UTF-8 nor UTF-16, GB18030 or windows-1252. \
                     Save it as plain text first."
                ),
                format!(
                    "{name} 不是文本文件：它不是 UTF-8、UTF-16、GB18030 或 windows-1252。请先另存为纯文本。"
                ),
            ),
            _ => self.pick(
                format!("{name} cannot be read: {reason}"),
                format!("无法读取 {name}：{reason}"),
            ),
        }
    }

    /// Files beside the page are missing.
    pub fn page_incomplete(&self, reason: &str) -> String {
        self.pick(
            format!(
                "Files of this page are missing or broken: {reason}. Reload, or build the page again."
            ),
            format!("页面的文件缺失或损坏：{reason}。请刷新，或重新构建页面。"),
        )
    }

    /// A file beside the page is not handed out.
    pub fn file_not_fetched(&self, url: &str, status: u16) -> String {
        self.pick(
            format!("the host answers HTTP {status} for {url}"),
            format!("主机对 {url} 返回 HTTP {status}"),
        )
    }

    /// A file beside the page does not come, or not whole.
    pub fn file_broke_off(&self, url: &str, reason: &str) -> String {
        self.pick(
            format!("{url} cannot be fetched whole ({reason})"),
            format!("无法完整获取 {url}（{reason}）"),
        )
    }

    /// A file lacks a number; `path` is where it should be.
    pub fn number_missing(&self, url: &str, path: &str) -> String {
        self.pick(
            format!("{url} has no positive number at {path}"),
            format!("{url} 中的 {path} 不是正数"),
        )
    }

    /// What was entered is no address of a checkpoint.
    pub fn checkpoint_refused(&self, entered: &str) -> String {
        self.pick(
            format!(
                "“{entered}” is not the address of a checkpoint. Enter that of a directory, such as \
                 https://example.org/models/glyph/, or nothing: the built-in model."
            ),
            format!(
                "“{entered}”不是检查点的地址。请填写目录的地址，例如 \
                 https://example.org/models/glyph/，或留空以使用内置模型。"
            ),
        )
    }

    /// WebGPU is not there, and nothing else was allowed.
    pub fn webgpu_required(&self, problem: &str) -> String {
        let (en, zh) = match problem {
            "insecure" => (
                "Browsers offer WebGPU on https and localhost only",
                "浏览器只在 https 和 localhost 上提供 WebGPU",
            ),
            "unsupported" => ("This browser has no WebGPU", "本浏览器没有 WebGPU"),
            _ => ("WebGPU finds no graphics adapter", "WebGPU 找不到显卡"),
        };
        let (only, auto) = (self.device_webgpu, self.device_auto);
        self.pick(
            format!("{en}: with “{only}” the model cannot be loaded. Choose “{auto}”."),
            format!("{zh}：选择“{only}”时无法加载模型。请选择“{auto}”。"),
        )
    }

    /// The tokens of the text are not known.
    pub fn tokens_uncounted(&self, reason: &str) -> String {
        let reason = reason.trim_end_matches(['.', '。']);
        self.pick(
            format!("The text's tokens are not counted: {reason}."),
            format!("没有计算文本的 token：{reason}。"),
        )
    }

    /// What a worker says of its error; `code` and `detail` are those of glyph.js, empty where the error
    /// has none.
    pub fn worker_error(&self, code: &str, detail: &str, text: &str) -> String {
        let zh = match code {
            "argument" => format!("选项 {detail} 无效：{text}"),
            "unreadable" => format!("无法读取 {detail}。请重新选择该文件"),
            "empty" => format!("{detail} 是空的。请选择一个有内容的文本文件"),
            "binary" => format!("{detail} 不是文本文件。请先另存为纯文本"),
            "style" => {
                let allowed = text.rsplit_once("it must be ");
                let allowed = allowed.map(|(_, allowed)| format!("，应为{}", allowed_zh(allowed)));
                let allowed = allowed.unwrap_or_default();
                format!("样式的值无法使用：{detail}{allowed}。请修改它")
            }
            "style-unknown" => format!("样式没有 {detail} 这个键。请删除它或改正键名"),
            "style-missing" => format!("样式缺少 {detail} 这个键。请补上它"),
            "style-width" => {
                format!("这个样式留给每行的宽度是 {detail}。请加宽页面，或减小边距和缩进")
            }
            "style-height" => format!(
                "这个样式的页面放不下两行（{detail}）。请增大页面，或减小行高、字号或上下边距"
            ),
            "style-contrast" => format!(
                "这个样式的文字与段落背景同色（{detail}），看不见文字。请修改 font-color 或 para-bg-color"
            ),
            "style-pixels" => {
                format!("这个样式的页面大小无法使用（{detail}）。请更换页面大小或 DPI")
            }
            "style-letters" => format!("这个样式的字母过大（{detail}）。请减小字号或 DPI"),
            "font" => format!("字体 {detail} 无法使用。请更换字体，或重新构建页面"),
            "missing-file" => format!("缺少 {detail}。请选择包含完整检查点的目录"),
            "not-a-checkpoint" => format!("{detail} 不是有效的检查点文件。请从原始检查点恢复它"),
            "web-page" => {
                format!("{detail} 是网页，而不是检查点的文件。请填写 config.json 所在目录的地址")
            }
            "network" => format!("无法完整获取 {detail}。请检查地址和网络"),
            "too-large" => {
                format!("标签页的内存放不下 {detail}。请选择更小的检查点、更短的文本，或使用服务器")
            }
            "no-webgpu" => {
                let reason = self.fallback_reason(detail);
                format!("无法使用 WebGPU（{reason}）。请改选 CPU")
            }
            "device" => format!("显卡设备出错（{detail}）。请重新加载模型，或改选 CPU"),
            "context" => {
                format!(
                    "页面、问题和回答超出了模型的上下文：{detail} 个 token。请减少页面，或缩短最长回答"
                )
            }
            _ => text.to_owned(),
        };
        self.pick(text.to_owned(), zh)
    }

    /// Why WebGPU is not used, as the model's worker says it. What a driver says is not translated.
    pub fn fallback_reason(&self, reason: &str) -> String {
        let zh = match WebGpuFailure::read(reason) {
            WebGpuFailure::Missing => "本浏览器在此页面上没有 WebGPU".to_owned(),
            WebGpuFailure::NoAdapter => "WebGPU 找不到显卡".to_owned(),
            WebGpuFailure::WrongNumbers { computed, right } => {
                format!("显卡计算结果错误：得到 {computed}，应为 {right}")
            }
            WebGpuFailure::Other(words) => words,
        };
        self.pick(reason.to_owned(), zh)
    }

    /// Why the files of a model are not kept, as the model's worker says it. What a browser says is not
    /// translated.
    pub fn not_kept_reason(&self, reason: &str) -> String {
        let zh = match reason {
            "it is not on https or localhost" => "本页不是通过 https 或 localhost 打开的",
            _ => reason,
        };
        self.pick(reason.to_owned(), zh.to_owned())
    }

    /// The worker with the model has ended.
    pub fn model_crashed(&self, reason: &str) -> String {
        self.pick(
            format!(
                "The model in this browser has failed: {reason}. Ask again: it is then loaded anew. \
                 If that does not help, choose the CPU, a shorter text, or a server."
            ),
            format!(
                "本浏览器中的模型出错了：{reason}。请再问一次，模型会重新加载；如果仍然失败，请选择 CPU、\
                 更短的文本或服务器。"
            ),
        )
    }

    /// What the model is doing before its first word.
    pub fn reading(&self, is_seeing: bool, done: usize, of: usize) -> String {
        if is_seeing {
            return self.pick(
                format!("Looking at the pages: {done} of {of}"),
                format!("正在看页面：{done} / {of}"),
            );
        }
        self.pick(
            format!("Reading: {done} of {of} tokens"),
            format!("正在阅读：{done} / {of} 个 token"),
        )
    }

    /// A page by its number.
    pub fn page_number(&self, page: usize) -> String {
        self.pick(format!("Page {page}"), format!("第 {page} 页"))
    }

    /// All pages are drawn.
    pub fn pages_drawn(&self, pages: usize) -> String {
        let en = match pages {
            1 => "1 page is drawn".to_owned(),
            _ => format!("{pages} pages are drawn"),
        };
        self.pick(en, format!("已渲染 {pages} 页"))
    }

    /// An answer has ended; what is said of it.
    pub fn answer_ended(&self, spoken: &str) -> String {
        let complete = self.answer_complete;
        if spoken.is_empty() {
            return complete.to_owned();
        }
        self.pick(
            format!("{complete}: {spoken}"),
            format!("{complete}：{spoken}"),
        )
    }

    /// A page among all.
    pub fn page_of(&self, page: usize, pages: usize) -> String {
        self.pick(
            format!("Page {page} of {pages}"),
            format!("第 {page} 页，共 {pages} 页"),
        )
    }

    /// Why the pages could not be drawn.
    pub fn drawing_failed(&self, reason: &str) -> String {
        self.pick(
            format!("The pages cannot be drawn: {reason}."),
            format!("无法渲染页面：{reason}。"),
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
                "服务器一次最多接受 {most} 页，文本有 {pages} 页。请逐页阅读、选择更密的样式，\
                 或用 --max-pages {pages} 启动服务器。"
            ),
        )
    }

    /// The pages leave no room for a question.
    pub fn context_exceeded(&self, tokens: usize, context: usize) -> String {
        self.pick(
            format!(
                "The pages take {tokens} tokens; the model has room for {context}, question and answer \
                 included. Read the pages one by one, shorten the text, or choose a denser style."
            ),
            format!(
                "页面需要 {tokens} 个 token，模型连同问题和回答只能容纳 {context} 个。\
                 请逐页阅读、缩短文本，或选择更密的样式。"
            ),
        )
    }

    /// The pages have changed their style since a model was asked.
    pub fn drawn_for_another(&self, model: &str) -> String {
        self.pick(
            format!(
                "Another model was chosen before {model} had the pages: they are now drawn in that one's \
                 style. Choose {model} and ask again, or ask the other one."
            ),
            format!(
                "在 {model} 拿到页面之前，您选择了另一个模型，页面现在按那个模型的样式绘制。\
                 请重新选择 {model} 再问一次，或直接问另一个模型。"
            ),
        )
    }
}
