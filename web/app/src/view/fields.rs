//! Fields that several parts of the page have.

use leptos::{ev, prelude::*};
use web_sys::HtmlInputElement;

/// A number that may be left out.
#[component]
pub fn NumberField<L>(
    label: L,
    placeholder: Signal<String>,
    value: Signal<Option<f64>>,
    set: Callback<Option<f64>>,
    min: &'static str,
    max: &'static str,
    step: &'static str,
) -> impl IntoView
where
    L: Fn() -> &'static str + Send + 'static,
{
    let shown = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
    let (least, most) = (
        min.parse().unwrap_or(f64::MIN),
        max.parse().unwrap_or(f64::MAX),
    );
    let on_change = move |event: ev::Event| {
        let input: HtmlInputElement = event_target(&event);
        let number = input.value().trim().parse::<f64>().ok();
        let number = number.map(|number| number.clamp(least, most));
        set.run(number);
        // Where that is the value of before, nothing else would show it.
        input.set_value(&shown(number));
    };
    view! {
        <label class="field">
            <span>{label}</span>
            <input
                type="number"
                inputmode="decimal"
                min=min
                max=max
                step=step
                placeholder=placeholder
                prop:value=move || shown(value.get())
                on:change=on_change
            />
        </label>
    }
}

/// A choice between a few, as radio buttons.
#[component]
pub fn Choice<T, L>(
    legend: L,
    name: &'static str,
    options: Signal<Vec<(T, String)>>,
    value: Signal<T>,
    set: Callback<T>,
) -> impl IntoView
where
    T: Copy + PartialEq + Send + Sync + 'static,
    L: Fn() -> &'static str + Send + 'static,
{
    let radios = move || {
        options
            .get()
            .into_iter()
            .map(|(option, label)| {
                view! {
                    <label class="segment">
                        <input
                            type="radio"
                            name=name
                            prop:checked=move || value.get() == option
                            on:change=move |_| set.run(option)
                        />
                        <span>{label}</span>
                    </label>
                }
            })
            .collect_view()
    };
    view! {
        <fieldset class="segments">
            <legend class="hidden-label">{legend}</legend>
            {radios}
        </fieldset>
    }
}
