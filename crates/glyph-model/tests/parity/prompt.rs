//! Conversations → ids and positions, and ids → text.

use glyph_model::ModelError;
use glyph_model::preprocess::PatchGrid;
use glyph_model::prompt::{
    ChatTemplate, Message, Part, Prompt, PromptEncoder, Role, TextStream, TextTokenizer,
};
use serde_json::{Value, json};

use crate::common::{
    CONFIGS, Fixture, PROMPTS, fixture, grids, ids, json, messages, number, rows, text,
};

fn tokenizer() -> TextTokenizer {
    TextTokenizer::from_json(&std::fs::read(fixture("tokenizer/tokenizer.json")).unwrap()).unwrap()
}

fn encoder() -> PromptEncoder {
    let template = std::fs::read_to_string(fixture("tokenizer/chat_template.jinja")).unwrap();
    let tokenizer = tokenizer();
    let image_token_id = tokenizer.token_id("<|image|>").unwrap();
    let template = ChatTemplate::new(template).unwrap();
    PromptEncoder {
        tokenizer,
        template,
        image_token_id,
        merge_size: 2,
    }
}

#[test]
fn conversations_become_the_text_and_ids_of_the_reference() {
    let encoder = encoder();
    for row in rows("chat.json") {
        let name = text(&row["name"]);
        let generation_prompt = row["add_generation_prompt"].as_bool().unwrap();
        let rendered = encoder
            .template
            .render(&messages(&row["messages"]), generation_prompt)
            .unwrap();
        assert_eq!(rendered, text(&row["text"]), "{name}");

        let grids = grids(&row["image_grid_thw"]);
        let prompt = encoder
            .expand(&encoder.tokenizer.encode(&rendered).unwrap(), &grids)
            .unwrap();
        assert_eq!(prompt.ids, ids(&row["input_ids"]), "{name}");
        let image_tokens = ids(&row["image_tokens"]).iter().sum::<u32>() as usize;
        assert_eq!(prompt.n_image_tokens(), image_tokens, "{name}");
        assert_eq!(prompt.n_text_tokens() + image_tokens, prompt.ids.len());
        assert_eq!(prompt.grids, grids);
        if generation_prompt {
            assert_eq!(
                encoder.encode(&messages(&row["messages"]), &grids).unwrap(),
                prompt,
                "{name}"
            );
        }
    }
}

#[test]
fn positions_are_those_of_the_reference() {
    let encoder = encoder();
    for config in CONFIGS {
        let tensors = Fixture::open(&format!("{config}/decoder.safetensors"));
        let cases = json(&format!("{config}/cases.json"));
        for name in PROMPTS {
            let row = &cases[name];
            let ids = tensors.token_ids(&format!("{name}.input_ids"));
            assert_eq!(ids.len(), number(&row["prompt_tokens"]));
            let prompt = encoder
                .from_expanded(ids, &grids(&row["image_grid_thw"]))
                .unwrap();
            let want = tensors.integers(&format!("{name}.position_ids"));
            assert_eq!(axes(&prompt), want, "{config} {name}");
            let delta = tensors.signed(&format!("{name}.rope_delta"));
            assert_eq!(delta, row["rope_delta"].as_i64().unwrap());
            assert_eq!(
                i64::from(prompt.positions.next),
                prompt.ids.len() as i64 + delta
            );
        }
    }
}

/// All time positions, then all rows, then all columns.
fn axes(prompt: &Prompt) -> Vec<usize> {
    let positions = &prompt.positions.positions;
    (0..3)
        .flat_map(|axis| positions.iter().map(move |p| p[axis] as usize))
        .collect()
}

#[test]
fn image_features_stand_where_the_image_tokens_are() {
    let encoder = encoder();
    let image = encoder.image_token_id;
    let grids = [
        PatchGrid {
            rows: 2,
            columns: 4,
        },
        PatchGrid {
            rows: 2,
            columns: 2,
        },
    ];
    let prompt = encoder.expand(&[9, image, 8, image], &grids).unwrap();
    assert_eq!(prompt.ids, [9, image, image, 8, image]);
    assert_eq!(
        prompt.feature_index,
        [None, Some(0), Some(1), None, Some(2)]
    );
    assert_eq!(
        prompt.positions.positions,
        [[0; 3], [1, 1, 1], [1, 1, 2], [3; 3], [4; 3]]
    );
    assert_eq!(prompt.positions.next, 5);
}

#[test]
fn images_that_the_text_does_not_ask_for_are_refused() {
    let encoder = encoder();
    let page = PatchGrid {
        rows: 4,
        columns: 6,
    };
    let question = |n_images| [Message::pages_and_question(n_images, "What?")];
    for (n_places, n_images) in [(0, 1), (1, 0), (1, 2), (3, 2)] {
        let error = encoder
            .encode(&question(n_places), &vec![page; n_images])
            .unwrap_err();
        let ModelError::ImageTokenMismatch {
            placeholders,
            images,
            image_tokens,
            ..
        } = error
        else {
            panic!("{error}")
        };
        assert_eq!(
            (placeholders, images, image_tokens),
            (n_places, n_images, 6 * n_images)
        );
    }
    let marked = [Message::pages_and_question(1, "Is <|image|> a marker?")];
    let error = encoder.encode(&marked, &[page]).unwrap_err().to_string();
    assert!(
        error.contains("2 image tokens") && error.contains("1 images"),
        "{error}"
    );

    let image = encoder.image_token_id;
    for ids in [
        vec![image; 5],
        vec![image; 7],
        vec![image, 1, image, image, image, image, image],
    ] {
        let error = encoder.from_expanded(ids, &[page]).unwrap_err();
        assert!(
            matches!(
                error,
                ModelError::ImageTokenMismatch {
                    image_tokens: 6,
                    ..
                }
            ),
            "{error}"
        );
    }
}

#[test]
fn templates_that_print_content_as_it_is_get_text() {
    // So do the published ones for system and assistant turns.
    let source = "{%- for m in messages %}\n<|{{ m.role }}|>\n{{ m.content }}\n{%- endfor %}\n\
                  {% if add_generation_prompt %}<|assistant|>\n{% endif %}";
    let template = ChatTemplate::new(source.to_owned()).unwrap();
    let part = |text: &str| Part::Text {
        text: text.to_owned(),
    };
    let said = [
        Message {
            role: Role::System,
            content: vec![part("Be "), part("brief.")],
        },
        Message {
            role: Role::Assistant,
            content: vec![],
        },
    ];
    assert_eq!(
        template.render(&said, true).unwrap(),
        "<|system|>\nBe brief.<|assistant|>\n<|assistant|>\n"
    );
}

#[test]
fn templates_may_use_what_transformers_offers() {
    let source = "{%- for m in messages -%}\n  {%- set s = m.content.split('</think>')[-1].strip() %}\n\
                  {{ s | upper }}{{ '' if loop.last else ', ' }}\n{%- endfor -%}\n";
    let template = ChatTemplate::new(source.to_owned()).unwrap();
    let said = ["<think>a</think> one ", "two"].map(|said| Message::pages_and_question(0, said));
    assert_eq!(template.render(&said, false).unwrap(), "ONE, TWO");
}

#[test]
fn the_tokenizer_is_that_of_the_reference() {
    let tokenizer = tokenizer();
    assert_eq!(tokenizer.vocab_size(), 340);
    assert_eq!(tokenizer.token(331).as_deref(), Some("<|image|>"));
    assert_eq!(tokenizer.token(340), None);
    for row in rows("tokenizer_cases.json") {
        let ids = ids(&row["ids"]);
        if let Value::String(text) = &row["text"] {
            assert_eq!(tokenizer.encode(text).unwrap(), ids, "{text:?}");
        }
        assert_eq!(
            tokenizer.decode(&ids, false).unwrap(),
            text(&row["decoded"])
        );
        assert_eq!(
            tokenizer.decode(&ids, true).unwrap(),
            text(&row["decoded_skip_special"])
        );
    }
}

/// A tokenizer whose longest token is "abcd".
fn tokenizer_of_four_letters() -> TextTokenizer {
    let model = json!({
        "type": "BPE",
        "merges": [["a", "b"], ["c", "d"], ["ab", "cd"]],
        "vocab": { "a": 0, "b": 1, "c": 2, "d": 3, "ab": 4, "cd": 5, "abcd": 6 },
    });
    let file = json!({ "version": "1.0", "added_tokens": [], "model": model });
    TextTokenizer::from_json(file.to_string().as_bytes()).unwrap()
}

#[test]
fn a_long_text_is_counted_in_pieces_and_refused_only_where_it_is_too_long_as_a_whole() {
    let tokenizer = tokenizer_of_four_letters();
    // No line ends, and "abcd" lies across each of the six borders: "abc" and "d" are three tokens.
    let text = format!("d{}", "abcd".repeat(100_000));
    let n_tokens = tokenizer.encode(&text).unwrap().len();
    assert_eq!(n_tokens, 100_001);
    assert_eq!(tokenizer.count(&text).unwrap(), n_tokens + 12);
    let exceeds = |text: &str, most_tokens| tokenizer.surely_exceeds(text, most_tokens).unwrap();
    assert!(!exceeds(&text, n_tokens));
    assert!(exceeds(&text, n_tokens - 100) && exceeds(&text, 0));
    // One piece takes little as it is.
    assert!(!exceeds(&"d".repeat(1 << 16), 1));
    assert!(exceeds(&"d".repeat((1 << 16) + 1), 1));

    let tokenizer = self::tokenizer();
    for text in ["a line of a text\n", "words of a text ", "图片里有什么？"] {
        let text = text.repeat(20_000);
        let n_tokens = tokenizer.encode(&text).unwrap().len();
        assert!(!tokenizer.surely_exceeds(&text, n_tokens).unwrap());
        assert!(tokenizer.surely_exceeds(&text, n_tokens / 2).unwrap());
        let counted = tokenizer.count(&text).unwrap();
        assert!(counted.abs_diff(n_tokens) < 200, "{counted} for {n_tokens}");
    }
}

fn stream(stream: TextStream, ids: &[u32]) -> (Vec<String>, Option<String>) {
    let mut stream = stream;
    let pieces = ids
        .iter()
        .filter_map(|id| stream.push(*id).unwrap())
        .collect();
    (pieces, stream.finish().unwrap())
}

#[test]
fn streamed_pieces_are_whole_characters_and_make_up_the_text() {
    let tokenizer = tokenizer();
    let said = "图片里有什么？🙂👍🏽 Ünï\u{FFFD}cödé <think>文字</think><|user|>e\u{301}🇨🇳 end";
    let ids = tokenizer.encode(said).unwrap();
    assert!(ids.len() > 60);
    for skip_special_tokens in [false, true] {
        for end in 0..=ids.len() {
            let (pieces, rest) = stream(tokenizer.stream(skip_special_tokens), &ids[..end]);
            let whole = tokenizer.decode(&ids[..end], skip_special_tokens).unwrap();
            let said_so_far = pieces.concat();
            assert!(
                said.replace("<|user|>", "")
                    .contains(&said_so_far.replace("<|user|>", ""))
            );
            assert_eq!(said_so_far + rest.as_deref().unwrap_or_default(), whole);
        }
    }
}

#[test]
fn text_is_given_out_as_soon_as_it_is_whole() {
    let tokenizer = tokenizer();
    let mut stream = tokenizer.stream(true);
    let mut given = String::new();
    let ids = tokenizer.encode("a图🙂b").unwrap();
    for end in 0..ids.len() {
        given.push_str(&stream.push(ids[end]).unwrap().unwrap_or_default());
        let whole = tokenizer.decode(&ids[..=end], true).unwrap();
        assert_eq!(given, whole.trim_end_matches('\u{FFFD}'));
    }
}

#[test]
fn bytes_that_are_no_text_come_out_as_replacement_characters() {
    let tokenizer = tokenizer();
    // A fixed walk through the ids, mostly byte tokens that do not fit together.
    let mut state = 1_u32;
    for length in 0..60 {
        let ids: Vec<u32> = (0..length)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 16) % 345
            })
            .collect();
        let (pieces, rest) = stream(tokenizer.stream(false), &ids);
        let text = pieces.concat() + rest.as_deref().unwrap_or_default();
        assert_eq!(text, tokenizer.decode(&ids, false).unwrap(), "{ids:?}");
    }
    // An endless run of them is given out too.
    let lead = tokenizer.encode("图").unwrap()[0];
    let (pieces, _) = stream(tokenizer.stream(false), &vec![lead; 300]);
    assert!(pieces.concat().chars().count() > 200);
}

#[test]
fn tokens_that_end_one_character_and_begin_the_next_split_neither() {
    // The bytes of 图 are E5 9B BE, in the byte alphabet å Ľ ¾.
    let byte_level =
        json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false });
    let model =
        json!({ "type": "BPE", "merges": [], "vocab": { "åĽ": 0, "¾å": 1, "Ľ¾å": 2, "Ľ¾": 3 } });
    let file =
        json!({ "version": "1.0", "added_tokens": [], "decoder": byte_level, "model": model });
    let tokenizer = TextTokenizer::from_json(file.to_string().as_bytes()).unwrap();
    let ids = [0, 1, 2, 2, 2, 2, 2, 2, 3];
    let (pieces, rest) = stream(tokenizer.stream(false), &ids);
    assert_eq!(pieces, vec!["图"; 8]);
    assert_eq!(rest, None);
}
