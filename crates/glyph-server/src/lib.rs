//! OpenAI-compatible HTTP server over glyph-engine.
