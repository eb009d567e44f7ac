//! Texts to try with one click.

use glyph_web_core::settings::Language;

use crate::ask::READ_QUESTION;

/// A text and a question that it answers: where the text is English and short, the built-in model does so
/// rightly. The names of the others say whom they are for.
#[derive(Debug, Clone, Copy)]
pub struct Example {
    /// Its name on the button.
    pub name: &'static str,
    /// The text, repeated where that makes it long.
    pub text: fn() -> String,
    /// The question.
    pub question: &'static str,
}

const ORDER: &str = include_str!("../../../crates/glyph-cli/samples/order.txt");

/// One page of the built-in model, which reads single pages aloud.
const STORY_BEGINNING: &str = "\
The lighthouse keeper wrote one line a day, and never more than one. In spring the lines were about \
gulls and paint; in autumn about fog. When his daughter found the books, forty of them, she read them \
in one night, as one would read a letter, and in the morning she knew what he had been waiting for.";

const STORY_END: &str = "\
It stood in the seventh book, between a line about a broken lens and a line about soup: the boat came, \
and it was not hers. He had not crossed it out. She put the books back in their order, climbed the \
stairs, and cleaned the lens, though nobody had asked her to, and though the lamp had been dark for years.";

const STORY_ZH: &str = "\
灯塔的看守人每天只写一行字，从不多写。春天的行里有海鸥和油漆，秋天的行里有雾。女儿找到那四十本册子的时候，\
用一个晚上读完了它们，像读一封信，到早晨她明白了父亲在等什么。那句话在第七本里，夹在碎了的透镜和一碗汤之间：\
船来了，不是她的那一条。他没有把它划掉。她把册子按原来的次序放回去，爬上楼梯，擦亮了透镜，\
尽管没有人要她这样做，尽管那盏灯已经暗了许多年。";

/// Noise with one fact in it, as the needle tests of long-context benchmarks have it.
fn needle(noise: &str, fact: &str, repeats: usize) -> String {
    let mut text = noise.repeat(repeats * 2 / 3);
    text.push_str(fact);
    text.push_str(&noise.repeat(repeats / 3));
    text
}

/// The wording in which the built-in model knows this question.
const NEEDLE_QUESTION: &str =
    "What is the special magic number for big-cat mentioned in the provided text?";

fn story() -> String {
    format!("{STORY_BEGINNING} {STORY_END}")
}

fn english_needle() -> String {
    needle(
        "The grass is green. The sky is blue. The sun is yellow. Here we go.\n",
        "One of the special magic numbers for big-cat is: 7319248.\n",
        6,
    )
}

const EN: [Example; 4] = [
    Example {
        name: "An order",
        text: || ORDER.to_owned(),
        question: "What is the order number?",
    },
    Example {
        name: "A needle in noise",
        text: english_needle,
        question: NEEDLE_QUESTION,
    },
    Example {
        name: "A short story",
        text: || STORY_BEGINNING.to_owned(),
        question: READ_QUESTION,
    },
    Example {
        name: "A long text (100 KB, for a large model)",
        text: || format!("{}\n\n", story()).repeat(160),
        question: "What stood in the seventh book?",
    },
];

const ZH: [Example; 6] = [
    Example {
        name: "订单（英文）",
        text: || ORDER.to_owned(),
        question: "What is the order number?",
    },
    Example {
        name: "大海捞针（英文）",
        text: english_needle,
        question: NEEDLE_QUESTION,
    },
    Example {
        name: "英文短篇",
        text: || STORY_BEGINNING.to_owned(),
        question: READ_QUESTION,
    },
    Example {
        name: "中文短篇（需要官方模型）",
        text: || STORY_ZH.to_owned(),
        question: "谁擦亮了透镜？",
    },
    Example {
        name: "中文大海捞针（需要官方模型）",
        text: || {
            needle(
                "草是绿的。天是蓝的。太阳是黄的。我们继续往前走。\n",
                "其中一个关于大猫的神奇数字是：7319248。\n",
                60,
            )
        },
        question: "文中关于大猫的神奇数字是什么？",
    },
    Example {
        name: "中英混排（需要官方模型）",
        text: || {
            let story = story();
            format!(
                "{STORY_ZH}\n\n{story}\n\nGlyph 把长文本渲染成图像：1 个 vision token ≈ 多个字符。"
            )
        },
        question: "第七本册子里写了什么？",
    },
];

/// The examples of a language.
pub fn examples(language: Language) -> &'static [Example] {
    match language {
        Language::En => &EN,
        Language::Zh => &ZH,
    }
}
