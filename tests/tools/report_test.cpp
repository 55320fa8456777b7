// The report and the progress display: what they show, and what no run directory can make them do.
#include "report/report.hpp"

#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "report/html.hpp"
#include "report/progress.hpp"
#include "report/svg.hpp"
#include "vkvae/error.hpp"

using namespace vkvae;

namespace {

// A run directory that goes away with the test.
class RunDir {
  public:
    RunDir() {
        std::random_device random; // tests may run side by side
        path_ = std::filesystem::temp_directory_path() /
                ("vkvae-report-test-" + std::to_string(random()) + "-" + std::to_string(random()));
        std::filesystem::create_directories(path_ / "samples");
    }
    ~RunDir() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    RunDir(const RunDir&) = delete;
    RunDir& operator=(const RunDir&) = delete;

    void write(const std::string& file, std::string_view text) const {
        std::ofstream(path_ / file, std::ios::binary).write(text.data(), static_cast<std::streamsize>(text.size()));
    }
    const std::filesystem::path& path() const { return path_; }
    std::string page() const { return build_report(path_); }

  private:
    std::filesystem::path path_;
};

// Signature, IHDR of a gray image, and enough bytes behind it; the report never decodes pixels.
std::string tiny_png(unsigned char width, unsigned char height) {
    std::string png("\x89PNG\r\n\x1A\n\0\0\0\rIHDR", 16);
    png += {0, 0, 0, static_cast<char>(width), 0, 0, 0, static_cast<char>(height)};
    return png + std::string("\x08\0\0\0\0", 5) + "crc.";
}

std::string train_line(int step, double loss) {
    return "{\"kind\":\"train\",\"step\":" + std::to_string(step) + ",\"epoch\":0.1,\"loss\":" + std::to_string(loss) +
           ",\"nll\":80,\"kl\":20,\"grad_norm\":3,\"lr\":0.001,\"beta\":1,\"images_per_s\":1000}\n";
}

std::string eval_line(int step) {
    return "{\"kind\":\"eval\",\"step\":" + std::to_string(step) +
           ",\"epoch\":1,\"split\":\"test\",\"elbo\":-98.5,\"nll\":78.25,\"kl\":20.25,\"active_units\":2,"
           "\"kl_dims\":[12.5,0.001,7.75]}\n";
}

void write_full_run(const RunDir& run) {
    run.write("config.json", R"({"version":"1.2.3","device":{"name":"Some GPU","driver":"5","api":"1.3"},
        "data":{"source":"somewhere/mnist","count":60000,"height":28,"width":28,"channels":1},
        "model":{"name":"mlp","latent":3,"likelihood":"bernoulli",
                 "encoder":[{"type":"linear","out":64,"activation":"relu"}],"decoder":[{"type":"linear","out":784}]},
        "train":{"epochs":2,"batch":100,"lr":0.001,"optimizer":{"name":"adam"}},
        "parameters":123456,"memory":{"weights":4096,"activations":8192},"future":{"unknown_key":"its value"}})");
    std::string metrics;
    for (int step = 50; step <= 5000; step += 50)
        metrics += train_line(step, 100 + 400.0 / step) + (step % 500 == 0 ? eval_line(step) : "");
    run.write("metrics.jsonl", metrics);
    run.write("profile.json", R"({"steps":10,"kernels":[{"name":"matmul_nn","calls":12,"ms":3.2},
                                                        {"name":"adam","calls":1,"ms":0.05}]})");
    for (const char* file : {"samples.png", "reconstructions.png", "traversal.png", "interpolation.png"})
        run.write(file, tiny_png(20, 10));
    for (int step = 0; step < 30; ++step)
        run.write("samples/step-" + std::to_string(step * 100) + ".png", tiny_png(20, 10));
}

std::size_t count_of(const std::string& text, std::string_view part) {
    std::size_t count = 0;
    for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size()))
        ++count;
    return count;
}

bool contains(const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
}

std::string joined(const std::vector<std::string>& parts) {
    std::string out;
    for (const std::string& part : parts)
        out += (out.empty() ? "" : " ") + part;
    return out;
}

} // namespace

TEST_CASE("escape_html leaves nothing that HTML could read as markup") {
    CHECK(escape_html("a<b>&\"c\"'d'") == "a&lt;b&gt;&amp;&quot;c&quot;&#39;d&#39;");
    CHECK(escape_html("z ~ N(0, σ²)\n") == "z ~ N(0, σ²)\n");
    CHECK(escape_html(std::string_view("\0\x1B\x7F", 3)) == "\uFFFD\uFFFD\uFFFD");
    CHECK(escape_html("\xFF"
                      "a\xC0\x80"
                      "b\xED\xA0\x80") == "\uFFFDa\uFFFD\uFFFDb\uFFFD\uFFFD\uFFFD");
    CHECK(escape_html("\xE2\x82") == "\uFFFD\uFFFD"); // cut off inside a character
}

TEST_CASE("base64 pads the last group") {
    const auto encode = [](std::string_view text) {
        return encode_base64(std::as_bytes(std::span(text.data(), text.size())));
    };
    CHECK(encode("") == "");
    CHECK(encode("M") == "TQ==");
    CHECK(encode("Ma") == "TWE=");
    CHECK(encode("Man") == "TWFu");
    CHECK(encode("\xFF\xFE\xFD") == "//79");
}

TEST_CASE("numbers are short, and not finite ones are a dash") {
    CHECK(format_number(98.5) == "98.50");
    CHECK(format_number(-0.012345, 3) == "−0.0123");
    CHECK(format_number(1.5e-7) == "1.5e−7");
    CHECK(format_short(0.001) == "0.001");
    CHECK(format_short(128) == "128");
    CHECK(format_count(1234567) == "1\u202F234\u202F567");
    CHECK(format_count(-999) == "−999");
    CHECK(format_compact(1059845) == "1.06\u202FM");
    CHECK(format_bytes(4.5 * 1024 * 1024) == "4.50\u202FMiB");
    CHECK(format_fixed(-0.001, 2) == "0.00"); // no minus zero
    CHECK(format_number(std::nan("")) == "–");
    CHECK(format_count(std::numeric_limits<double>::infinity()) == "–");
}

TEST_CASE("axis ticks are round numbers inside the axis, with labels in one unit") {
    CHECK(joined(choose_ticks(0, 10, 5).labels) == "0 2 4 6 8 10");
    CHECK(joined(choose_ticks(97.3, 119.8, 5).labels) == "100 105 110 115");
    CHECK(joined(choose_ticks(-1, 1, 4).labels) == "−1.0 −0.5 0 0.5 1.0");
    CHECK(joined(choose_ticks(0, 9380, 5).labels) == "0 2000 4000 6000 8000");
    CHECK(joined(choose_ticks(0, 1.2e6, 5).labels) == "0 0.25M 0.50M 0.75M 1.00M");
    CHECK(joined(choose_ticks(0, 40000, 4).labels) == "0 10k 20k 30k 40k");
    CHECK(joined(choose_ticks(0, 0.001, 4).labels) == "0 2.5e−4 5e−4 7.5e−4 1e−3");
    CHECK(choose_ticks(5, 5, 5).at == std::vector<double>{5});
}

TEST_CASE("no range of the axis breaks the ticks") {
    const double inf = std::numeric_limits<double>::infinity();
    for (const double bad : {inf, -inf, std::nan("")}) {
        CHECK(choose_ticks(0, bad, 5).at.empty());
        CHECK(choose_ticks(bad, 0, 5).at.empty());
    }
    CHECK(choose_ticks(1, 0, 5).at.empty());
    for (const double lo : {-1e300, -1.0, 0.0, 1e-308, 1.0, 1e15, 1e300})
        for (const double width : {1e-320, 1e-300, 1e-16, 1e-9, 1.0, 3.7, 1e9, 1e300}) {
            const Ticks ticks = choose_ticks(lo, lo + width, 5);
            CHECK(ticks.at.size() <= 11);
            CHECK(ticks.at.size() == ticks.labels.size());
        }
}

TEST_CASE("a line chart leaves out early peaks and says so") {
    LineChart chart{.id = "c", .title = "t", .unit = "", .series = {}, .note = {}};
    chart.series.push_back({.name = "train", .ink = "train", .points = {}, .noisy = true});
    for (int step = 0; step < 1000; ++step)
        chart.series[0].points.push_back({static_cast<double>(step), step < 3 ? 540.0 : 100.0 + step % 7});
    CHECK(contains(draw_line_chart(chart), "Not shown: 3 points above the axis, up to 540.0."));
    chart.cut_peaks = false;
    CHECK_FALSE(contains(draw_line_chart(chart), "Not shown"));
}

TEST_CASE("a line chart with more points than pixels draws their envelope, and stays small") {
    LineChart chart{.id = "c", .title = "t", .unit = "", .series = {}, .note = {}};
    chart.series.push_back({.name = "train", .ink = "train", .points = {}, .noisy = true});
    for (int step = 0; step < 200000; ++step)
        chart.series[0].points.push_back({static_cast<double>(step), std::sin(step * 0.7)});
    const std::string svg = draw_line_chart(chart);
    CHECK(contains(svg, "class=\"band train\""));
    CHECK(svg.size() < 40000);
}

TEST_CASE("values that are not finite are marked, never drawn") {
    const double nan = std::nan(""), inf = std::numeric_limits<double>::infinity();
    LineChart chart{.id = "c", .title = "t", .unit = "", .series = {}, .note = {}};
    chart.series.push_back(
        {.name = "train", .ink = "train", .points = {{1, 5}, {2, nan}, {3, inf}, {4, 6}, {nan, 7}, {5, 1e300}}});
    const std::string svg = draw_line_chart(chart);
    CHECK(contains(svg, "3 values are not finite, the first at step 2."));
    CHECK_FALSE(contains(svg, "nan"));
    CHECK_FALSE(contains(svg, "inf"));
    chart.series[0].points = {{1, nan}};
    CHECK(draw_line_chart(chart).empty());
    CHECK(draw_bar_rows({.id = "b", .title = "t", .unit = "", .bars = {{"x", nan, "", ""}}, .note = ""}).empty());
}

TEST_CASE("an empty run directory gives an error that says what is missing") {
    const RunDir run;
    try {
        write_report(run.path());
        FAIL("no error");
    } catch (const Error& error) {
        CHECK(error.status() == Status::data);
        CHECK(contains(error.what(), "no config.json"));
        CHECK(contains(error.what(), "vkvae train"));
    }
    CHECK_FALSE(std::filesystem::exists(run.path() / "report.html"));
}

TEST_CASE("a config.json that is not a JSON object is an error, with its place") {
    const RunDir run;
    for (const char* text : {"", "[1]", "{\"a\":", "{\"a\":\"\xFF\"}"}) {
        run.write("config.json", text);
        CHECK_THROWS_WITH_AS(run.page(), doctest::Contains("config.json"), Error);
    }
}

TEST_CASE("a run without metrics has a report that says so") {
    const RunDir run;
    run.write("config.json", "{}");
    CHECK(contains(run.page(), "No metrics yet"));
}

TEST_CASE("the report shows the figures, charts, pictures and settings of a run") {
    const RunDir run;
    write_full_run(run);
    write_report(run.path());
    std::ifstream file(run.path() / "report.html", std::ios::binary);
    const std::string page{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    CHECK(page == run.page());
    for (const std::string& text :
         std::vector<std::string>{"98.50", "78.25", "20.25", "Some GPU", "Vulkan 1.3", "123\u202Fk", "mlp on mnist",
                                  "60\u202F000 images", "KL by latent", "matmul_nn", "3.20 ms", "50.0 µs",
                                  "12.0\u202FKiB", "unknown_key", "its value", "≈ 8 min 20 s"})
        CHECK_MESSAGE(contains(page, text), text);
    for (const std::string& id : std::vector<std::string>{"elbo", "nll", "kl", "grad-norm", "kl-dims", "kl-dims-time",
                                                          "rate", "kernels", "memory"})
        CHECK_MESSAGE(count_of(page, "<figure class=\"chart\" id=\"" + id + "\"") == 1, id);
    CHECK(count_of(page, "<img ") == 4 + 12); // the film strip holds twelve
    CHECK(contains(page, ">step 0<"));
    CHECK(contains(page, ">step 2\u202F900<"));
    CHECK(count_of(page, "<svg role=\"img\"") == count_of(page, "<title id="));
}

TEST_CASE("the report fetches nothing, links nowhere and runs nothing") {
    const RunDir run;
    write_full_run(run);
    const std::string page = run.page();
    CHECK(contains(page, "http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:;"));
    for (const std::string& forbidden : std::vector<std::string>{"http:", "https:", "//", "href", "<link", "<script",
                                                                 "<iframe", "<object", "@import", "@font-face"})
        CHECK_MESSAGE(!contains(page.substr(0, page.find("base64,")), forbidden), forbidden);
    CHECK(count_of(page, "src=") == count_of(page, "src=\"data:image/png;base64,"));
    CHECK(count_of(page, "url(") == count_of(page, "url(#"));
}

TEST_CASE("a run says how long it was trained for: steps where they were asked for, else epochs") {
    const RunDir run;
    const std::vector<std::pair<std::string, std::string>> cases = {
        {R"({"epochs":2,"steps":0,"batch":100})", "Trained for 2 epochs in batches of 100."},
        {R"({"epochs":10,"steps":550,"batch":32})", "Trained for 550 steps in batches of 32."},
        {R"({"steps":1})", "Trained for 1 step."}};
    for (const auto& one : cases) {
        run.write("config.json", "{\"train\":" + one.first + "}");
        CHECK_MESSAGE(contains(run.page(), one.second), one.first);
    }
}

TEST_CASE("nothing in the files of a run becomes markup") {
    const RunDir run;
    const std::string evil = R"(<script>x</script><b onclick='1'>\"&)";
    run.write("config.json", "{\"command\":\"" + evil + "\",\"" + evil + "\":{\"" + evil + "\":\"" + evil +
                                 "\"},\"device\":{\"name\":\"" + evil + "\"},\"data\":{\"source\":\"" + evil +
                                 "\"},\"model\":{\"name\":\"" + evil + "\",\"encoder\":[{\"type\":\"" + evil + "\",\"" +
                                 evil + "\":1}]},\"memory\":{\"" + evil + "\":7}}");
    std::string metrics = eval_line(1) + eval_line(2);
    for (std::size_t at; (at = metrics.find("\"test\"")) != std::string::npos;)
        metrics.replace(at, 6, "\"" + evil + "\"");
    run.write("metrics.jsonl", metrics);
    run.write("profile.json", "{\"kernels\":[{\"name\":\"" + evil + "\",\"ms\":1}]}");
    const std::string page = run.page();
    CHECK(count_of(page, "&lt;script&gt;") > 10);
    CHECK_FALSE(contains(page, "<script"));
    CHECK_FALSE(contains(page, "<b onclick"));
}

TEST_CASE("a cut-off last line of metrics.jsonl is no error; a bad one before it is counted") {
    const RunDir run;
    run.write("config.json", "{}");
    run.write("metrics.jsonl", train_line(50, 120) + train_line(100, 110) + "{\"kind\":\"train\",\"step\":15");
    std::string page = run.page();
    CHECK(contains(page, "2 training records"));
    CHECK_FALSE(contains(page, "could not be read"));
    run.write("metrics.jsonl", train_line(50, 120) + "{\"kind\":\"tr\n\n[1]\n" + train_line(100, 110));
    page = run.page();
    CHECK(contains(page, "2 training records"));
    CHECK(contains(page, "metrics.jsonl: 2 lines could not be read"));
}

TEST_CASE("losses that are not finite are reported, as null or as the words other writers use") {
    const RunDir run;
    run.write("config.json", "{}");
    for (const std::string& value :
         std::vector<std::string>{"null", "NaN", "Infinity", "-Infinity", "\"nan\"", "nan", "-inf"}) {
        run.write("metrics.jsonl", train_line(50, 120) + "{\"kind\":\"train\",\"step\":100,\"loss\":" + value + "}\n");
        CHECK_MESSAGE(contains(run.page(), "The loss was not finite at step 100."), value);
    }
}

TEST_CASE("steps that a resumed run repeats replace the earlier ones") {
    const RunDir run;
    run.write("config.json", "{}");
    run.write("metrics.jsonl", train_line(50, 1) + train_line(100, 2) + eval_line(100) + train_line(150, 3) +
                                   train_line(100, 4) + eval_line(100));
    const std::string page = run.page();
    CHECK(contains(page, "2 training records, 1 evaluation."));
}

TEST_CASE("damaged optional files are named and left out") {
    const RunDir run;
    run.write("config.json", "{}");
    run.write("profile.json", "[");
    run.write("samples.png", "not a picture");
    run.write("traversal.png", tiny_png(0, 3));
    run.write("samples/step-7.png", "");
    run.write("samples/step-x.png", "");
    const std::string page = run.page();
    for (const std::string& note : std::vector<std::string>{"profile.json: ", "samples.png: not a PNG file",
                                                            "traversal.png: a PNG of 0 x 3", "samples/step-7.png: "})
        CHECK_MESSAGE(contains(page, note), note);
    CHECK_FALSE(contains(page, "step-x"));
    CHECK_FALSE(contains(page, "<img"));
    CHECK_FALSE(contains(page, run.path().parent_path().string())); // the page does not tell where it was made
}

TEST_CASE("settings of any shape and depth are shown without trouble") {
    const RunDir run;
    run.write("config.json",
              "{\"train\":[1,2],\"model\":{\"encoder\":\"conv\",\"latent\":{}},\"parameters\":\"many\",\"deep\":" +
                  std::string(50000, '[') + std::string(50000, ']') + "}");
    const std::string page = run.page();
    CHECK(contains(page, "[1, 2]"));
    CHECK(contains(page, "<td>conv</td>"));
    CHECK(contains(page, "<td>many</td>"));
}

TEST_CASE("the progress bar fits any width and keeps what matters") {
    const ProgressState state{
        .step = 420, .epoch = 3.2, .loss = 104.2, .nll = 80.1, .kl = 24.1, .images_per_second = 18400};
    ProgressFormat format{.label = "mnist", .total_steps = 1000, .remaining_seconds = 83};
    for (format.columns = 0; format.columns < 200; ++format.columns)
        CHECK(format_progress_bar(state, format).size() <= static_cast<std::size_t>(format.columns));
    format.columns = 120;
    CHECK(format_progress_bar(state, format) == "mnist   42%  ##########----------------   420/1000  epoch 3.2  "
                                                "loss 104.20  nll  80.10  kl  24.10  18.4k img/s  ETA 1:23");
    format.columns = 30;
    CHECK(format_progress_bar(state, format) == " 42%  loss 104.20  ETA 1:23");
    format.columns = 10;
    CHECK(format_progress_bar(state, format) == " 42%");
}

TEST_CASE("the progress line for log files has no control sequences") {
    const ProgressState state{
        .step = 7, .epoch = 0.5, .loss = std::nan(""), .nll = 80, .kl = 1e6, .images_per_second = 12};
    const ProgressFormat format{.label = "", .total_steps = 0, .color = true, .unicode = true};
    CHECK(format_progress_line(state, format) == "step 7  epoch 0.50  loss    nan  nll  80.00  kl  1e+06   12.0 img/s");
}

TEST_CASE("durations are clocks, and unknown ones dashes") {
    CHECK(format_duration(0) == "0:00");
    CHECK(format_duration(83.4) == "1:23");
    CHECK(format_duration(3723) == "1:02:03");
    CHECK(format_duration(2 * 86400 + 3 * 3600 + 240) == "2d 03:04");
    for (const double unknown : {-1.0, std::nan(""), std::numeric_limits<double>::infinity(), 1e12})
        CHECK(format_duration(unknown) == "--:--");
}
