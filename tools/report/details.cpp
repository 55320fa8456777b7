// The tables of the report: the model's layers, the evaluations, every setting.
#include "report/details.hpp"

#include <algorithm>
#include <cmath>
#include <string_view>
#include <utility>

#include "report/html.hpp"

namespace vkvae {
namespace {

constexpr int kDeepest = 8;               // settings nested deeper are nobody's settings
constexpr std::size_t kLongestText = 600; // of one value
constexpr std::size_t kMostRows = 500;
constexpr std::size_t kMostLayers = 200;
constexpr std::size_t kMostEvaluations = 20; // steps; a row for each split

std::string describe(const Json& value, int depth);

std::string describe_number(const Json& value) {
    if (value.is_number_unsigned())
        return value.get<unsigned long long>() < 10000 ? std::to_string(value.get<unsigned long long>())
                                                       : format_count(value.get<double>());
    return value.is_number_integer() ? format_count(value.get<double>()) : format_short(value.get<double>(), 6);
}

std::string describe_items(const Json& value, int depth) {
    std::string out;
    for (Json::const_iterator it = value.begin(); it != value.end() && out.size() < kLongestText; ++it) {
        out += out.empty() ? "" : ", ";
        if (value.is_object())
            out += it.key() + " ";
        out += describe(*it, depth + 1);
    }
    return out;
}

std::string describe(const Json& value, int depth) {
    if (value.is_string())
        return value.get<std::string>();
    if (value.is_boolean())
        return value.get<bool>() ? "yes" : "no";
    if (value.is_number())
        return describe_number(value);
    if (value.is_structured() && depth > kDeepest)
        return "…";
    if (value.is_array())
        return "[" + describe_items(value, depth) + "]";
    return value.is_object() ? describe_items(value, depth) : "none";
}

// The word that says what a layer is.
std::string layer_kind(const Json& layer) {
    for (const char* key : {"type", "op", "layer"})
        if (const std::string kind = json_text(layer, key); !kind.empty())
            return kind;
    return "layer";
}

std::string draw_layer(const Json& layer) {
    if (!layer.is_object())
        return "<li><b>" + escape_html(describe_json(layer)) + "</b></li>\n";
    std::string options;
    for (Json::const_iterator it = layer.begin(); it != layer.end(); ++it) {
        const std::string& key = it.key();
        if (key == "type" || key == "op" || key == "layer")
            continue;
        options += options.empty() ? "" : " · ";
        if (key != "activation" && key != "name") // these say themselves
            options += key + " ";
        options += describe_json(*it);
    }
    return "<li><b>" + escape_html(layer_kind(layer)) + "</b><span>" + escape_html(options) + "</span></li>\n";
}

bool drawn_as_layers(const std::string& key, const Json& value) {
    return (key == "encoder" || key == "decoder") && value.is_array() && !value.empty();
}

std::string draw_layers(const Json& model, const char* part, const char* title) {
    const Json::const_iterator layers = model.find(part);
    if (layers == model.end() || !drawn_as_layers(part, *layers))
        return {};
    std::string out = "<div><h3>" + std::string(title) + "</h3><ol>\n";
    for (std::size_t i = 0; i < std::min(layers->size(), kMostLayers); ++i)
        out += draw_layer((*layers)[i]);
    if (layers->size() > kMostLayers)
        out += "<li><b>…</b><span>" + format_count(static_cast<double>(layers->size() - kMostLayers)) +
               " more</span></li>\n";
    return out + "</ol></div>\n";
}

using Rows = std::vector<std::pair<std::string, std::string>>;

void collect_rows(const Json& value, const std::string& name, int depth, Rows& rows) {
    if (rows.size() >= kMostRows)
        return;
    const bool objects_inside =
        value.is_array() && std::any_of(value.begin(), value.end(), [](const Json& item) { return item.is_object(); });
    if (depth < kDeepest && !value.empty() && (value.is_object() || objects_inside)) {
        std::size_t index = 0;
        for (Json::const_iterator it = value.begin(); it != value.end(); ++it, ++index) {
            const std::string part = value.is_object() ? it.key() : std::to_string(index);
            collect_rows(*it, name.empty() ? part : name + "." + part, depth + 1, rows);
        }
        return;
    }
    rows.emplace_back(name, describe_json(value));
}

std::string draw_group(const std::string& title, const Rows& rows) {
    if (rows.empty())
        return {};
    std::string out = "<section><h3>" + escape_html(title) + "</h3><table>\n";
    for (const auto& [name, value] : rows)
        out += "<tr><th scope=\"row\">" + escape_html(name) + "</th><td>" + escape_html(value) + "</td></tr>\n";
    return out + "</table></section>\n";
}

// At most kMostEvaluations steps at which something was evaluated, evenly chosen, the first and the last among them.
std::vector<double> evaluated_steps(const std::vector<EvalRecord>& evals) {
    std::vector<double> steps;
    for (const EvalRecord& eval : evals)
        steps.push_back(eval.step);
    std::sort(steps.begin(), steps.end());
    steps.erase(std::unique(steps.begin(), steps.end()), steps.end());
    const std::size_t count = std::min(steps.size(), kMostEvaluations);
    std::vector<double> chosen;
    for (std::size_t i = 0; i < count; ++i)
        chosen.push_back(steps[count > 1 ? i * (steps.size() - 1) / (count - 1) : 0]);
    return chosen;
}

} // namespace

std::string describe_json(const Json& value) {
    std::string text = describe(value, 0);
    if (text.size() > kLongestText) {
        std::size_t end = kLongestText;
        while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80)
            --end; // not inside a UTF-8 sequence
        text = text.substr(0, end) + "…";
    }
    return text;
}

std::string draw_model(const Json& model) {
    const std::string encoder = draw_layers(model, "encoder", "Encoder, q(z|x)");
    const std::string decoder = draw_layers(model, "decoder", "Decoder, p(x|z)");
    return encoder.empty() && decoder.empty() ? "" : "<div class=\"layers\">\n" + encoder + decoder + "</div>\n";
}

std::string draw_evaluations(const std::vector<EvalRecord>& evals) {
    if (evals.empty())
        return {};
    std::size_t rows = 0;
    std::string out =
        "<details open><summary>Evaluations</summary><div class=\"scroll\"><table class=\"evals\">\n<thead><tr>";
    for (const char* head : {"Split", "Step", "Epoch", "−ELBO", "NLL", "KL", "Active units"})
        out += "<th scope=\"col\">" + std::string(head) + "</th>";
    out += "</tr></thead><tbody>\n";
    const std::vector<double> steps = evaluated_steps(evals);
    for (const EvalRecord& eval : evals) {
        if (!std::binary_search(steps.begin(), steps.end(), eval.step))
            continue;
        ++rows;
        out += "<tr><td>" + escape_html(eval.split) + "</td>";
        for (const std::string& cell :
             {format_count(eval.step), format_fixed(eval.epoch, 2), format_fixed(-eval.elbo, 2),
              format_fixed(eval.nll, 2), format_fixed(eval.kl, 2), format_short(eval.active_units)})
            out += "<td>" + cell + "</td>";
        out += "</tr>\n";
    }
    out += "</tbody></table></div>\n";
    if (evals.size() > rows)
        out += "<p class=\"note\">" + format_count(static_cast<double>(rows)) + " of " +
               format_count(static_cast<double>(evals.size())) + " evaluations, evenly chosen.</p>\n";
    return out + "</details>\n";
}

std::string draw_settings(const Json& config) {
    if (config.empty())
        return {};
    Rows general;
    std::string groups;
    for (Json::const_iterator it = config.begin(); it != config.end(); ++it) {
        if (!it->is_object()) {
            collect_rows(*it, it.key(), 1, general);
            continue;
        }
        Rows rows;
        for (Json::const_iterator entry = it->begin(); entry != it->end(); ++entry)
            if (it.key() != "model" || !drawn_as_layers(entry.key(), *entry))
                collect_rows(*entry, entry.key(), 1, rows);
        groups += draw_group(it.key(), rows);
    }
    return "<details open><summary>Settings</summary>\n<div class=\"groups\">\n" + draw_group("run", general) + groups +
           "</div></details>\n";
}

} // namespace vkvae
