//! The page's words in English and Chinese. Both have every word, or the program does not compile.

use glyph_web_core::settings::Language;

mod en;
mod messages;
mod servers;
mod zh;

macro_rules! strings {
    ($($name:ident),* $(,)?) => {
        /// Words of one language.
        #[derive(Debug)]
        pub struct Strings {
            language_of: Language,
            $(pub $name: &'static str,)*
        }
    };
}

strings! {
    title, tagline, skip_to_text, skip_to_question, language, theme, theme_system, theme_light, theme_dark, api_docs,
    text_heading, text_label, text_placeholder, open_file, clear, examples, drop_here,
    large_text, edit_as_text, too_long_to_edit, folder_dropped, from_file,
    pages_heading, no_pages, cancel, drawing, fetching_style, fetching_font, drawing_cancelled, drawing_incomplete, draw_again,
    download_pages, show_more, zoom_in, zoom_out, zoom_fit, close, previous, next,
    characters, text_tokens, text_bytes, pages_count, png_bytes, vision_tokens, compression,
    per_token, kv_pages, kv_text, kv_of_model, kv_of_9b, unknown_yet,
    missing_characters, borrowed, substituted, complex_scripts,
    style_heading, style_base, style_model, style_official, font_size, line_height, dpi, page_size,
    page_size_style, newline, newline_style, newline_break, newline_marker, font_color, page_color,
    style_value, reset_style, style_used,
    ask_heading, question_label, question_placeholder, ask_button, presets, preset_read,
    preset_needle, preset_lookup, preset_summary, needle_question, lookup_question,
    summary_question, no_pages_to_ask, text_replaced, no_answers, max_tokens,
    where_heading, run_server, run_tab, server_address, server_address_hint, server_key,
    server_key_hint, server_model, server_asking, server_retry, server_not_ready,
    server_cannot_count, tokens_need_model, this_text,
    device, device_auto, device_webgpu, device_cpu, model_url, model_url_hint,
    model_folder, forget_folder, load_model, loading_model, unload_model, cached, delete_cached, from_cache,
    not_cached, stage_download, stage_weights, stage_device, webgpu_insecure,
    webgpu_unsupported, webgpu_no_adapter, fallback, on_server, on_cpu, ready_tab,
    mini_note, mini_unread, mini_many_pages,
    waiting_start, waiting_server, waiting_model, waiting_pages, server_broke_off,
    model_failed, stop, stopped, failed, copy, copied, copy_refused, download_conversation, thinking,
    first_token, tokens_per_second, tokens, cut_off, answer_label, answer_prepared, answer_comes, answer_complete, empty_answer,
    server_wants_key, footer,
}

/// The words of a language.
pub fn strings(language: Language) -> &'static Strings {
    match language {
        Language::En => &en::EN,
        Language::Zh => &zh::ZH,
    }
}
