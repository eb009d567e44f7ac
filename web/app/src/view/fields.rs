//! Fields that several parts of the page have.

use leptos::prelude::*;

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
    let shown = move || {
        value
            .get()
            .map(|value| value.to_string())
            .unwrap_or_default()
    };
    let (least, most) = (
        min.parse().unwrap_or(f64::MIN),
        max.parse().unwrap_or(f64::MAX),
    );
    let on_change = move |event| {
        let number = event_target_value(&event).trim().parse::<f64>().ok();
        set.run(number.map(|number| number.clamp(least, most)));
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
                prop:value=shown
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
