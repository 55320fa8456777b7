// Reads a run directory: config.json, metrics.jsonl, profile.json and the PNG grids.
#include "report/run_data.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <map>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>

#include "io/file.hpp"
#include "report/html.hpp"
#include "vkvae/error.hpp"

namespace vkvae {
namespace {

constexpr std::uint64_t kLargestJson = 4ULL << 20;      // nested arrays take some fifty times their text in memory
constexpr std::uint64_t kLargestMetrics = 512ULL << 20; // some millions of records
constexpr std::uint64_t kLargestPicture = 24ULL << 20;  // the page holds every picture as base64
constexpr std::size_t kLongestLine = 4 << 20;           // kMostDims numbers fit
constexpr std::size_t kFilmLength = 12;
constexpr std::size_t kMostDims = 1 << 16;

bool is_there(const std::filesystem::path& path) {
    std::error_code ignored;
    return std::filesystem::exists(path, ignored);
}

std::string read_text(const std::filesystem::path& path, std::uint64_t max_bytes) {
    const std::vector<std::byte> bytes = read_file(path, max_bytes);
    return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

Json parse(std::string_view text) {
    return Json::parse(text.begin(), text.end(), nullptr, false);
}

// JSON has no word for values that are not finite, but writers such as Python's use NaN, Infinity and -Infinity.
// Outside of strings they become null, which means the same here.
std::string without_bare_words(std::string_view line) {
    std::string out;
    bool quoted = false;
    for (std::size_t at = 0; at < line.size(); ++at) {
        std::size_t length = 0;
        if (line[at] == '"')
            quoted = !quoted;
        else if (!quoted)
            for (const std::string_view word : {"NaN", "-NaN", "Infinity", "-Infinity", "nan", "-nan", "inf", "-inf"})
                if (line.substr(at).starts_with(word))
                    length = word.size();
        if (length > 0) {
            out += "null";
            at += length - 1;
            continue;
        }
        out += line[at];
        if (quoted && line[at] == '\\' && at + 1 < line.size())
            out += line[++at]; // an escaped quote does not end the string
    }
    return out;
}

Json parse_line(std::string_view line) {
    Json object = parse(line);
    return object.is_discarded() ? parse(without_bare_words(line)) : object;
}

Json read_config(const std::filesystem::path& run_dir) {
    const std::filesystem::path path = run_dir / "config.json";
    if (!is_there(path))
        fail(Status::data, "no config.json in '", path_text(run_dir),
             "': not the directory of a run; give the one that 'vkvae train' wrote");
    const std::string text = read_text(path, kLargestJson);
    Json config;
    try {
        config = Json::parse(text);
    } catch (const Json::exception& error) {
        fail(Status::data, "'", path_text(path), "' is not JSON: ", error.what());
    }
    require_data(config.is_object(), "'", path_text(path), "' is not a JSON object");
    return config;
}

// The mean of the numbers in a list; kMissing if there are none.
double mean_of(const Json& line, const char* key) {
    const Json::const_iterator list = line.find(key);
    double total = 0, count = 0;
    if (list != line.end() && list->is_array())
        for (const Json& value : *list)
            if (value.is_number()) {
                total += value.get<double>();
                count += 1;
            }
    return count > 0 ? total / count : kMissing;
}

TrainRecord train_record(const Json& line) {
    return {.step = json_number(line, "step"),
            .epoch = json_number(line, "epoch"),
            .loss = json_number(line, "loss"),
            .nll = json_number(line, "nll"),
            .kl = json_number(line, "kl"),
            .grad_norm = json_number(line, "grad_norm"),
            .lr = json_number(line, "lr"),
            .beta = json_number(line, "beta"),
            .loss_scale = json_number(line, "loss_scale"),
            .perplexity = mean_of(line, "perplexity"),
            .images_per_s = json_number(line, "images_per_s"),
            .elapsed_s = json_number(line, "elapsed_s")};
}

EvalRecord eval_record(const Json& line) {
    EvalRecord record{.step = json_number(line, "step"),
                      .epoch = json_number(line, "epoch"),
                      .split = json_text(line, "split"),
                      .elbo = json_number(line, "elbo"),
                      .nll = json_number(line, "nll"),
                      .kl = json_number(line, "kl"),
                      .active_units = json_number(line, "active_units"),
                      .perplexity = mean_of(line, "perplexity"),
                      .elapsed_s = json_number(line, "elapsed_s"),
                      .kl_dims = {}};
    if (record.split.empty())
        record.split = "test";
    const Json::const_iterator dims = line.find("kl_dims");
    if (dims != line.end() && dims->is_array() && dims->size() <= kMostDims)
        for (const Json& value : *dims)
            record.kl_dims.push_back(value.is_number() ? value.get<double>() : kMissing);
    return record;
}

// A resumed run logs some steps a second time, and the later record is the one that became the model: reading
// backwards, a record stays when its step lies before all that follow.
template <class Record, class Key> void drop_superseded(std::vector<Record>& records, Key key) {
    std::map<std::string, double> next_step;
    std::vector<Record> kept;
    for (typename std::vector<Record>::reverse_iterator it = records.rbegin(); it != records.rend(); ++it) {
        const auto [place, first] = next_step.try_emplace(key(*it), it->step);
        if (!first && it->step >= place->second)
            continue;
        place->second = it->step;
        kept.push_back(std::move(*it));
    }
    std::reverse(kept.begin(), kept.end());
    records = std::move(kept);
}

// The page travels, so the messages in it lose the path of the run.
void add_note(RunData& run, const std::filesystem::path& run_dir, const std::string& file, const Error& error) {
    std::string message = error.what();
    const std::string path = path_text(run_dir / file);
    for (std::size_t at = message.find(path); at != std::string::npos; at = message.find(path))
        message.replace(at, path.size(), "the file");
    run.notes.push_back(file + ": " + message);
}

void read_metrics(const std::filesystem::path& run_dir, RunData& run) {
    const std::string text = read_text(run_dir / "metrics.jsonl", kLargestMetrics);
    std::size_t unreadable = 0;
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t newline = text.find('\n', at);
        const bool complete = newline != std::string::npos;
        const std::size_t end = complete ? newline : text.size();
        const std::string_view line = std::string_view(text).substr(at, end - at);
        at = end + 1;
        if (line.find_first_not_of(" \t\r") == std::string_view::npos)
            continue;
        const Json object = line.size() <= kLongestLine ? parse_line(line) : Json();
        const bool good = object.is_object() && std::isfinite(json_number(object, "step"));
        const std::string kind = good ? json_text(object, "kind") : "";
        if (kind == "train") {
            run.train.push_back(train_record(object));
        } else if (kind == "eval") {
            run.evals.push_back(eval_record(object));
        } else if (!good && complete) {
            ++unreadable; // a last line without its newline is a run that was stopped, or is still writing
        }
    }
    drop_superseded(run.train, [](const TrainRecord&) { return std::string(); });
    drop_superseded(run.evals, [](const EvalRecord& record) { return record.split; });
    if (unreadable > 0)
        run.notes.push_back("metrics.jsonl: " + std::to_string(unreadable) + (unreadable == 1 ? " line" : " lines") +
                            " could not be read");
}

void read_profile(const std::filesystem::path& run_dir, RunData& run) {
    const Json profile = parse(read_text(run_dir / "profile.json", kLargestJson));
    require_data(profile.is_object() && profile.contains("kernels") && profile["kernels"].is_array(),
                 "profile.json has no list of kernels");
    run.profile_steps = json_number(profile, "steps");
    for (const Json& entry : profile["kernels"]) {
        if (!entry.is_object())
            continue;
        KernelRow kernel{json_text(entry, "name"), json_number(entry, "calls"), json_number(entry, "ms")};
        if (!std::isfinite(kernel.ms) || kernel.ms < 0 || kernel.name.empty())
            continue;
        const std::vector<KernelRow>::iterator same =
            std::find_if(run.kernels.begin(), run.kernels.end(),
                         [&kernel](const KernelRow& other) { return other.name == kernel.name; });
        if (same == run.kernels.end()) {
            run.kernels.push_back(std::move(kernel));
        } else {
            same->calls += kernel.calls;
            same->ms += kernel.ms;
        }
    }
    std::stable_sort(run.kernels.begin(), run.kernels.end(),
                     [](const KernelRow& a, const KernelRow& b) { return a.ms > b.ms; });
}

std::vector<double> numbers_of(const Json& object, const char* key) {
    std::vector<double> numbers;
    const Json::const_iterator found = object.find(key);
    if (found != object.end() && found->is_array())
        for (const Json& value : *found)
            numbers.push_back(value.is_number() ? value.get<double>() : kMissing);
    return numbers;
}

// {"title", "unit", "x_name", "y_name", "classes": [name], "labels": [class], "x": [...], "y": [...]}
void read_latents(const std::filesystem::path& run_dir, RunData& run) {
    const Json file = parse(read_text(run_dir / "latents.json", kLargestJson));
    require_data(file.is_object(), "not a JSON object");
    ScatterChart chart;
    chart.id = "latents";
    chart.title = json_text(file, "title");
    chart.unit = json_text(file, "unit");
    chart.x_name = json_text(file, "x_name");
    chart.y_name = json_text(file, "y_name");
    chart.x = numbers_of(file, "x");
    chart.y = numbers_of(file, "y");
    const std::vector<double> labels = numbers_of(file, "labels");
    const Json::const_iterator classes = file.find("classes");
    if (classes != file.end() && classes->is_array() && classes->size() <= 256)
        for (const Json& name : *classes)
            chart.classes.push_back(name.is_string() ? name.get<std::string>() : "");
    require_data(chart.x.size() == chart.y.size() && (labels.empty() || labels.size() == chart.x.size()), "it has ",
                 chart.x.size(), " x, ", chart.y.size(), " y and ", labels.size(), " labels");
    for (const double label : labels)
        chart.labels.push_back(label >= 0 && label < 256 ? static_cast<int>(label) : 0); // NaN is class 0, too
    run.latents = std::move(chart);
}

void read_rates(const std::filesystem::path& run_dir, RunData& run) {
    const Json file = parse(read_text(run_dir / "rate_distortion.json", kLargestJson));
    require_data(file.is_object() && file.contains("points") && file["points"].is_array(), "it has no list of points");
    for (const Json& point : file["points"])
        if (point.is_object())
            run.rates.push_back(
                {json_number(point, "step"), json_number(point, "bits_per_pixel"), json_number(point, "psnr")});
    std::erase_if(run.rates, [](const RatePoint& p) {
        return !std::isfinite(p.bits_per_pixel) || !std::isfinite(p.psnr) || p.bits_per_pixel < 0;
    });
    std::stable_sort(run.rates.begin(), run.rates.end(),
                     [](const RatePoint& a, const RatePoint& b) { return a.bits_per_pixel < b.bits_per_pixel; });
}

// The size comes from the IHDR chunk, which the format puts first; the browser checks the rest.
Picture read_picture(const std::filesystem::path& path, std::string file) {
    Picture picture{.file = std::move(file), .png = read_file(path, kLargestPicture)};
    constexpr unsigned char kSignature[16] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n',
                                              0,    0,   0,   13,  'I',  'H',  'D',  'R'};
    require_data(picture.png.size() >= 33 && std::memcmp(picture.png.data(), kSignature, sizeof kSignature) == 0,
                 "not a PNG file");
    const auto word = [&picture](std::size_t at) {
        std::uint32_t value = 0;
        for (std::size_t i = 0; i < 4; ++i)
            value = value << 8 | std::to_integer<std::uint32_t>(picture.png[at + i]);
        return value;
    };
    const std::uint32_t width = word(16), height = word(20);
    constexpr std::uint32_t kLargestSide = 1 << 16;
    require_data(width > 0 && height > 0 && width <= kLargestSide && height <= kLargestSide, "a PNG of ", width, " x ",
                 height);
    picture.width = static_cast<int>(width);
    picture.height = static_cast<int>(height);
    return picture;
}

void read_picture_into(std::vector<Picture>& pictures, const std::filesystem::path& run_dir, const std::string& file,
                       long long step, RunData& run) {
    try {
        Picture picture = read_picture(run_dir / file, file);
        picture.step = step;
        pictures.push_back(std::move(picture));
    } catch (const Error& error) {
        add_note(run, run_dir, file, error);
    }
}

// The N of step-N.png.
std::optional<long long> step_of(const std::string& file) {
    constexpr std::string_view kHead = "step-", kTail = ".png";
    if (!file.starts_with(kHead) || !file.ends_with(kTail) || file.size() <= kHead.size() + kTail.size())
        return std::nullopt;
    const char* begin = file.data() + kHead.size();
    const char* end = file.data() + file.size() - kTail.size();
    long long step = 0;
    const std::from_chars_result result = std::from_chars(begin, end, step);
    if (result.ec != std::errc() || result.ptr != end || step < 0)
        return std::nullopt;
    return step;
}

void read_film(const std::filesystem::path& run_dir, RunData& run) {
    std::vector<std::pair<long long, std::string>> frames;
    std::error_code error;
    std::filesystem::directory_iterator files(run_dir / "samples", error), end;
    for (; !error && files != end; files.increment(error)) {
        const std::string file = path_text(files->path().filename());
        if (const std::optional<long long> step = step_of(file))
            frames.emplace_back(*step, file);
    }
    std::sort(frames.begin(), frames.end());
    const std::size_t count = std::min(frames.size(), kFilmLength);
    for (std::size_t i = 0; i < count; ++i) {
        const std::size_t pick =
            count > 1 ? (i * (frames.size() - 1) + (count - 1) / 2) / (count - 1) : 0; // first and last are in
        read_picture_into(run.film, run_dir, "samples/" + frames[pick].second, frames[pick].first, run);
    }
}

std::string run_name(const std::filesystem::path& run_dir) {
    std::error_code error;
    std::filesystem::path whole = std::filesystem::weakly_canonical(run_dir, error);
    if (error)
        whole = run_dir;
    if (!whole.has_filename())
        whole = whole.parent_path();
    const std::string name = path_text(whole.filename());
    return name.empty() ? "run" : name;
}

} // namespace

double json_number(const Json& object, const char* key) {
    const Json::const_iterator found = object.find(key);
    if (found == object.end())
        return kMissing;
    const double value = found->is_number() ? found->get<double>() : std::numeric_limits<double>::infinity();
    return std::isfinite(value) ? value : std::numeric_limits<double>::infinity();
}

const Json& json_object(const Json& object, const char* key) {
    static const Json empty = Json::object();
    const Json::const_iterator found = object.find(key);
    return found != object.end() && found->is_object() ? *found : empty;
}

std::string json_text(const Json& object, const char* key) {
    const Json::const_iterator found = object.find(key);
    return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

RunData read_run(const std::filesystem::path& run_dir) {
    RunData run;
    run.config = read_config(run_dir);
    run.name = run_name(run_dir);
    const auto optional_part = [&](const char* file, void (*read)(const std::filesystem::path&, RunData&)) {
        if (!is_there(run_dir / file))
            return;
        try {
            read(run_dir, run);
        } catch (const Error& error) {
            add_note(run, run_dir, file, error);
        }
    };
    optional_part("metrics.jsonl", read_metrics);
    optional_part("profile.json", read_profile);
    optional_part("latents.json", read_latents);
    optional_part("rate_distortion.json", read_rates);
    for (const char* file : {"reconstructions.png", "samples.png", "traversal.png", "interpolation.png"})
        if (is_there(run_dir / file))
            read_picture_into(run.pictures, run_dir, file, -1, run);
    read_film(run_dir, run);
    return run;
}

} // namespace vkvae
