// report.html: headline figures, pictures, charts and settings of a run on one self-contained page.
#include "report/report.hpp"

#include <algorithm>
#include <cmath>
#include <string_view>
#include <vector>

#include "io/file.hpp"
#include "report/curves.hpp"
#include "report/details.hpp"
#include "report/html.hpp"
#include "report/run_data.hpp"
#include "report/style.hpp"

namespace vkvae {
namespace {

// Nothing is fetched and nothing runs, whatever a run's files say.
constexpr std::string_view kPolicy =
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";
constexpr int kColumnPixels = 520; // width of one of the two columns on a desktop

std::string plural(double count, const std::string& noun) {
    return format_count(count) + " " + noun + (count == 1 ? "" : "s");
}

// The value of a setting for a sentence: a string, or the "name" or "type" of an object.
std::string setting_text(const Json& object, const char* key) {
    const Json::const_iterator found = object.find(key);
    if (found == object.end() || found->is_null())
        return {};
    if (!found->is_object())
        return describe_json(*found);
    for (const char* name : {"name", "type"})
        if (const std::string text = json_text(*found, name); !text.empty())
            return text;
    return {};
}

// "mlp on mnist: 60 000 images of 28 × 28 × 1, latent 20, bernoulli; 20 epochs of batch 128, adam, lr 0.001, β 1,
// seed 1."
std::string draw_lede(const Json& config) {
    const Json& data = json_object(config, "data");
    const Json& model = json_object(config, "model");
    const Json& train = json_object(config, "train");
    std::vector<std::string> first, second;
    std::string source = setting_text(data, "source");
    while (source.size() > 1 && (source.back() == '/' || source.back() == '\\'))
        source.pop_back();
    source = source.substr(source.find_last_of("/\\") + 1); // a path says more about the machine than about the data
    const std::string name = setting_text(model, "name");
    std::string what = name.empty() ? source : source.empty() ? name : name + " on " + source;
    std::string size;
    for (const char* key : {"height", "width", "channels"})
        if (const double value = json_number(data, key); std::isfinite(value))
            size += (size.empty() ? "" : "\u00A0×\u00A0") + format_count(value);
    if (const double count = json_number(data, "count"); std::isfinite(count))
        first.push_back(plural(count, "image") + (size.empty() ? "" : " of " + size));
    if (const std::string latent = setting_text(model, "latent"); !latent.empty())
        first.push_back("latent " + latent);
    if (const std::string likelihood = setting_text(model, "likelihood"); !likelihood.empty())
        first.push_back(likelihood + " likelihood");
    const std::string batch = setting_text(train, "batch");
    const std::string batches = batch.empty() ? "" : " in batches of " + batch;
    if (const double steps = json_number(train, "steps"); std::isfinite(steps) && steps > 0) // instead of epochs
        second.push_back(plural(steps, "step") + batches);
    else if (const double epochs = json_number(train, "epochs"); std::isfinite(epochs) && epochs > 0)
        second.push_back(plural(epochs, "epoch") + batches);
    if (const std::string optimizer = setting_text(train, "optimizer"); !optimizer.empty())
        second.push_back(optimizer);
    for (const auto& [key, title] : {std::pair{"lr", "learning rate "}, std::pair{"beta", "β "}})
        if (const std::string value = setting_text(train, key); !value.empty())
            second.push_back(title + value);
    for (const Json* place : {&config, &train})
        if (const std::string seed = setting_text(*place, "seed"); !seed.empty()) {
            second.push_back("seed " + seed);
            break;
        }
    const auto join = [](const std::vector<std::string>& parts) {
        std::string out;
        for (const std::string& part : parts)
            out += (out.empty() ? "" : ", ") + part;
        return out;
    };
    std::string text = what + (what.empty() || first.empty() ? "" : ": ") + join(first);
    text += (text.empty() ? "" : ". ") + (second.empty() ? "" : "Trained for " + join(second) + ".");
    return text.empty() ? "" : "<p class=\"lede\">" + escape_html(text) + "</p>\n";
}

// Seconds of training: as logged, else from the speed at each record; *estimated says which. kMissing when unknown.
double training_seconds(const RunData& run, bool* estimated) {
    double logged = kMissing;
    for (const TrainRecord& record : run.train)
        if (std::isfinite(record.elapsed_s))
            logged = std::fmax(logged, record.elapsed_s);
    for (const EvalRecord& record : run.evals)
        if (std::isfinite(record.elapsed_s))
            logged = std::fmax(logged, record.elapsed_s);
    *estimated = std::isnan(logged);
    const double batch = json_number(json_object(run.config, "train"), "batch");
    if (!*estimated || !std::isfinite(batch))
        return logged;
    double seconds = 0.0, step = 0.0;
    for (const TrainRecord& record : run.train) {
        if (std::isfinite(record.images_per_s) && record.images_per_s > 0)
            seconds += (record.step - step) * batch / record.images_per_s;
        step = record.step;
    }
    return seconds > 0 && std::isfinite(seconds) ? seconds : kMissing;
}

std::string time_text(double seconds) {
    const auto whole = [](double value) { return format_count(std::floor(value)); };
    if (seconds < 10)
        return format_number(seconds, 2) + " s";
    if (seconds < 60)
        return whole(seconds) + " s";
    if (seconds < 3600)
        return whole(seconds / 60) + " min " + whole(std::fmod(seconds, 60)) + " s";
    if (seconds < 86400)
        return whole(seconds / 3600) + " h " + whole(std::fmod(seconds / 60, 60)) + " min";
    return whole(seconds / 86400) + " d " + whole(std::fmod(seconds / 3600, 24)) + " h";
}

double median_rate(const RunData& run) {
    std::vector<double> rates;
    for (const TrainRecord& record : run.train)
        if (std::isfinite(record.images_per_s))
            rates.push_back(record.images_per_s);
    if (rates.empty())
        return kMissing;
    std::nth_element(rates.begin(), rates.begin() + static_cast<std::ptrdiff_t>(rates.size() / 2), rates.end());
    return rates[rates.size() / 2];
}

struct Figure {
    std::string title, value, unit, under, style;
};

std::string draw_figure(const Figure& figure) {
    if (figure.value.empty())
        return {};
    std::string out = "<div" + (figure.style.empty() ? "" : " class=\"" + figure.style + "\"") + "><dt>" +
                      escape_html(figure.title) + "</dt><dd>" + escape_html(figure.value);
    if (!figure.unit.empty())
        out += " <small>" + escape_html(figure.unit) + "</small>";
    if (!figure.under.empty())
        out += "<span class=\"under\">" + escape_html(figure.under) + "</span>";
    return out + "</dd></div>\n";
}

std::string draw_loss_figures(const RunData& run) {
    const EvalRecord* eval = last_evaluation(run);
    std::string out;
    const auto loss = [&](const std::string& title, double value, const std::string& under, const char* style) {
        if (!std::isnan(value))
            out += draw_figure({title, std::isfinite(value) ? format_fixed(value, 2) : "not finite",
                                std::isfinite(value) ? "nats" : "", under, style});
    };
    if (eval != nullptr) {
        loss("−ELBO, " + eval->split, -eval->elbo, "at step " + format_count(eval->step), "lead");
        loss("NLL, " + eval->split, eval->nll, "", "");
        loss("KL, " + eval->split, eval->kl, "", "");
        if (std::isfinite(eval->active_units)) {
            const double latent = eval->kl_dims.empty() ? json_number(json_object(run.config, "model"), "latent")
                                                        : static_cast<double>(eval->kl_dims.size());
            out += draw_figure({"Active units", format_count(eval->active_units),
                                std::isfinite(latent) ? "of " + format_count(latent) : "", "", ""});
        }
    } else if (!run.train.empty()) {
        const TrainRecord& last = run.train.back();
        loss("Loss, train", last.loss, "last record, step " + format_count(last.step), "lead");
        loss("NLL, train", last.nll, "", "");
        loss("KL, train", last.kl, "", "");
    }
    return out;
}

std::string draw_figures(const RunData& run) {
    std::string out = draw_loss_figures(run);
    if (const double parameters = json_number(run.config, "parameters"); std::isfinite(parameters))
        out += draw_figure({"Parameters", format_compact(parameters), "",
                            parameters >= 1000 && parameters < 1e15 ? format_count(parameters) : "", ""});
    bool estimated = false;
    if (const double seconds = training_seconds(run, &estimated); std::isfinite(seconds))
        out += draw_figure({"Training time", (estimated ? "≈ " : "") + time_text(seconds), "",
                            estimated ? "from the logged speed" : "", ""});
    if (const double rate = median_rate(run); std::isfinite(rate)) {
        const double memory = total_memory(run);
        out += draw_figure({"Throughput", format_compact(rate), "images/s",
                            memory > 0 ? format_bytes(memory) + " of GPU memory" : "", ""});
    }
    const Json& device = json_object(run.config, "device");
    std::string name = json_text(device, "name");
    if (name.empty())
        name = json_text(run.config, "device");
    std::string under = json_text(device, "driver");
    if (const std::string api = setting_text(device, "api"); !api.empty())
        under +=
            (under.empty() ? "" : " · ") + std::string(api.find("ulkan") == std::string::npos ? "Vulkan " : "") + api;
    out += draw_figure({"Device", name, "", under, "words"});
    return out.empty() ? "" : "<dl class=\"figures\">\n" + out + "</dl>\n";
}

std::string draw_image(const Picture& picture, const std::string& alt, int width, bool pixels) {
    return std::string("<img") + (pixels ? " class=\"pixels\"" : "") + " alt=\"" + escape_html(alt) + "\" width=\"" +
           std::to_string(width) + "\" height=\"" +
           std::to_string(static_cast<long long>(picture.height) * width / picture.width) +
           "\" src=\"data:image/png;base64," + encode_base64(picture.png) + "\">";
}

struct Caption {
    std::string_view file, title, text;
};
constexpr Caption kCaptions[] = {
    {"reconstructions.png", "Reconstructions", "images and what the decoder makes of their codes"},
    {"samples.png", "Samples", "codes drawn from the prior, decoded"},
    {"traversal.png", "Traversal", "one latent dimension varied at a time, the others held"},
    {"interpolation.png", "Interpolation", "from one image to another, through the latent space"},
};

std::string draw_pictures(const RunData& run) {
    std::string out;
    for (const Picture& picture : run.pictures)
        for (const Caption& caption : kCaptions) {
            if (caption.file != picture.file)
                continue;
            const std::string title(caption.title), text(caption.text);
            // small pictures by whole multiples, which keeps their pixels square; others to the width of the column
            const int scale = kColumnPixels / picture.width;
            const int width = scale >= 3 ? scale * picture.width : std::min(kColumnPixels, 2 * picture.width);
            out += "<figure><figcaption><b>" + title + "</b> <small>" + text + "</small></figcaption>" +
                   draw_image(picture, title + ": " + text, width, scale >= 3) + "</figure>\n";
        }
    if (!out.empty())
        out = "<div class=\"pictures\">\n" + out + "</div>\n";
    if (run.film.empty())
        return out;
    out += "<h3 class=\"strip\">Samples as training went</h3>\n<div class=\"film\">\n";
    for (const Picture& picture : run.film) {
        const std::string when = "step " + format_count(static_cast<double>(picture.step));
        out += "<figure>" + draw_image(picture, "Samples at " + when, picture.width, false) + "<figcaption>" + when +
               "</figcaption></figure>\n";
    }
    return out + "</div>\n";
}

std::string section(const std::string& title, const std::string& body, bool charts) {
    if (body.empty())
        return {};
    return "<section>\n<h2>" + title + "</h2>\n" + (charts ? "<div class=\"charts\">\n" + body + "</div>\n" : body) +
           "</section>\n";
}

std::string draw_notes(const RunData& run) {
    std::string out;
    for (const std::string& note : run.notes)
        out += "<p class=\"alarm\">" + escape_html(note) + "</p>\n";
    const std::vector<TrainRecord>::const_iterator bad =
        std::find_if(run.train.begin(), run.train.end(), [](const TrainRecord& r) { return std::isinf(r.loss); });
    if (bad != run.train.end())
        out += "<p class=\"alarm\">The loss was not finite at step " + format_count(bad->step) + ".</p>\n";
    if (run.train.empty() && run.evals.empty())
        out += "<p class=\"alarm\">No metrics yet: metrics.jsonl is missing or has no records.</p>\n";
    return out;
}

std::string draw_footer(const RunData& run) {
    const std::string version = setting_text(run.config, "version");
    return "<footer>" + escape_html("vkvae" + (version.empty() ? "" : " " + version)) + " · " +
           plural(static_cast<double>(run.train.size()), "training record") + ", " +
           plural(static_cast<double>(run.evals.size()), "evaluation") +
           ". Losses are nats per image: summed over an image, averaged over images.</footer>\n";
}

} // namespace

std::string build_report(const std::filesystem::path& run_dir) {
    const RunData run = read_run(run_dir);
    const std::string name = escape_html(run.name);
    std::string page = "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                       "<meta http-equiv=\"Content-Security-Policy\" content=\"" +
                       std::string(kPolicy) +
                       "\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                       "<meta name=\"color-scheme\" content=\"light dark\">\n<title>" +
                       name + " · vkvae</title>\n<style>" + std::string(kColourStyle) + std::string(kChartStyle) +
                       std::string(kPageStyle) + "</style>\n</head>\n<body>\n";
    page += "<header>\n<p class=\"eyebrow\">vkvae training run</p>\n<h1>" + name + "</h1>\n" + draw_lede(run.config) +
            draw_notes(run) + draw_figures(run) + "</header>\n<main>\n";
    page += section("Pictures", draw_pictures(run), false);
    page += section("Learning curves", draw_learning_curves(run), true);
    page += section("Latent space", draw_latent_charts(run), true);
    page += section("Speed and memory", draw_speed_charts(run), true);
    page += section("Model", draw_model(json_object(run.config, "model")), false);
    page += section("Details", draw_evaluations(run.evals) + draw_settings(run.config), false);
    return page + "</main>\n" + draw_footer(run) + "</body>\n</html>\n";
}

void write_report(const std::filesystem::path& run_dir) {
    write_file_atomic(run_dir / "report.html", std::string_view(build_report(run_dir)));
}

} // namespace vkvae
