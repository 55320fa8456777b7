// Training progress on stderr.
//   ETA = (total - step) / rate,  rate = sum(w * steps) / sum(w * seconds),  w = exp(-age / 15 s)
#include "report/progress.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <utility>
#include <vector>

#include "report/terminal.hpp"

namespace vkvae {
namespace {

constexpr double kRateSeconds = 15.0; // long enough to ride over a checkpoint, short enough to follow a slower phase
constexpr std::chrono::milliseconds kRedrawInterval{100};

// Columns of UTF-8 text, counting every code point as one and colour sequences (ESC ... m) as none.
int text_columns(std::string_view text) {
    int columns = 0;
    bool escape = false;
    for (const char c : text) {
        if (c == '\033')
            escape = true;
        else if (escape)
            escape = c != 'm';
        else
            columns += (static_cast<unsigned char>(c) & 0xC0) != 0x80;
    }
    return columns;
}

std::string print(const char* format, double value) {
    char text[64];
    std::snprintf(text, sizeof text, format, value);
    return text;
}

// Two decimals where they mean something, six columns wide so that the fields do not dance.
std::string format_loss(double value) {
    if (!std::isfinite(value))
        return std::isnan(value) ? "   nan" : value > 0 ? "   inf" : "  -inf";
    const double size = std::fabs(value);
    return print(size < 1e3 ? "%6.2f" : size < 1e5 ? "%6.1f" : "%6.3g", value);
}

std::string format_rate(double value) {
    if (!std::isfinite(value) || value < 0)
        return "   --";
    if (value >= 999.5e6)
        return print("%5.3g", value);
    if (value >= 999.5e3)
        return print("%4.3gM", value * 1e-6);
    if (value >= 999.5)
        return print("%4.3gk", value * 1e-3);
    return print(value < 99.95 ? "%5.1f" : "%5.0f", value);
}

double progress_fraction(std::int64_t step, std::int64_t total) {
    if (total <= 0)
        return 0.0;
    return std::clamp(static_cast<double>(step) / static_cast<double>(total), 0.0, 1.0);
}

std::string draw_bar(double fraction, int cells, bool color, bool unicode) {
    const int halves = static_cast<int>(fraction * 2 * cells);
    std::string text = color ? "\033[36m" : "";
    for (int i = 0; i < cells; ++i) {
        if (color && 2 * i >= halves && 2 * (i - 1) < halves)
            text += "\033[39;2m";
        const int filled = std::clamp(halves - 2 * i, 0, 2);
        text += unicode ? (filled == 2 ? "━" : filled == 1 ? "╸" : "─") : (filled == 2 ? "#" : "-");
    }
    return color ? text + "\033[0m" : text;
}

// A part of the line; rank 0 stays longest. The bar is a field whose text comes last, when the rest is known.
struct Field {
    std::string text;
    int rank = 0;
    bool is_bar = false;
    bool alarm = false;
};

constexpr int kBarMin = 10; // narrower says no more than the percentage
constexpr int kBarMax = 40;

std::vector<Field> progress_fields(const ProgressState& state, const ProgressFormat& format) {
    const bool known = format.total_steps > 0;
    std::vector<Field> fields;
    if (!format.label.empty())
        fields.push_back({.text = std::string(format.label), .rank = 4});
    std::string steps = std::to_string(state.step);
    if (known) {
        const std::string total = std::to_string(format.total_steps);
        steps.insert(0, total.size() - std::min(total.size(), steps.size()), ' ');
        steps += "/" + total;
        const double fraction = progress_fraction(state.step, format.total_steps);
        fields.push_back({.text = print("%3.0f%%", std::floor(fraction * 100)), .rank = 0});
        fields.push_back({.text = "", .rank = 3, .is_bar = true});
    }
    fields.push_back({.text = known ? steps : "step " + steps, .rank = known ? 5 : 0});
    fields.push_back({.text = "epoch " + print("%.1f", state.epoch), .rank = 8});
    fields.push_back({.text = "loss " + format_loss(state.loss), .rank = 2, .alarm = !std::isfinite(state.loss)});
    fields.push_back({.text = "nll " + format_loss(state.nll), .rank = 6, .alarm = !std::isfinite(state.nll)});
    fields.push_back({.text = "kl " + format_loss(state.kl), .rank = 6, .alarm = !std::isfinite(state.kl)});
    fields.push_back({.text = format_rate(state.images_per_second) + " img/s", .rank = 7});
    if (format.elapsed_seconds >= 0)
        fields.push_back({.text = "in " + format_duration(format.elapsed_seconds), .rank = 1});
    else if (known)
        fields.push_back({.text = "ETA " + format_duration(format.remaining_seconds), .rank = 1});
    return fields;
}

int fields_columns(const std::vector<Field>& fields) {
    int columns = 0;
    for (const Field& field : fields)
        columns += (columns > 0 ? 2 : 0) + (field.is_bar ? kBarMin : text_columns(field.text));
    return columns;
}

} // namespace

std::string format_duration(double seconds) {
    constexpr double kLongest = 1e9; // 31 years: an ETA beyond it is noise
    if (!(seconds >= 0) || seconds > kLongest)
        return "--:--";
    const long total = std::lround(seconds);
    const long days = total / 86400, hours = total / 3600 % 24, minutes = total / 60 % 60;
    char text[64];
    if (days > 0)
        std::snprintf(text, sizeof text, "%ldd %02ld:%02ld", days, hours, minutes);
    else if (hours > 0)
        std::snprintf(text, sizeof text, "%ld:%02ld:%02ld", hours, minutes, total % 60);
    else
        std::snprintf(text, sizeof text, "%ld:%02ld", minutes, total % 60);
    return text;
}

std::string format_progress_bar(const ProgressState& state, const ProgressFormat& format) {
    std::vector<Field> fields = progress_fields(state, format);
    while (fields.size() > 1 && fields_columns(fields) > format.columns) {
        const int worst = std::max_element(fields.begin(), fields.end(), [](const Field& a, const Field& b) {
                              return a.rank < b.rank;
                          })->rank;
        std::erase_if(fields, [worst](const Field& field) { return field.rank == worst; });
    }
    const int spare = format.columns - fields_columns(fields);
    if (spare < 0) // a terminal narrower than one field
        return fields.front().text.substr(0, static_cast<std::size_t>(std::max(format.columns, 0)));
    std::string line;
    for (const Field& field : fields) {
        if (!line.empty())
            line += "  ";
        if (field.is_bar)
            line += draw_bar(progress_fraction(state.step, format.total_steps), std::min(kBarMin + spare, kBarMax),
                             format.color, format.unicode);
        else
            line += field.alarm && format.color ? "\033[31m" + field.text + "\033[0m" : field.text;
    }
    return line;
}

std::string format_progress_line(const ProgressState& state, const ProgressFormat& format) {
    std::string line = format.label.empty() ? "" : std::string(format.label) + ": ";
    line += "step " + std::to_string(state.step);
    if (format.total_steps > 0) {
        const double fraction = progress_fraction(state.step, format.total_steps);
        line += "/" + std::to_string(format.total_steps) + print(" (%.1f%%)", std::floor(fraction * 1000) / 10);
    }
    line += print("  epoch %.2f", state.epoch);
    line += "  loss " + format_loss(state.loss) + "  nll " + format_loss(state.nll) + "  kl " + format_loss(state.kl);
    line += "  " + format_rate(state.images_per_second) + " img/s";
    if (format.elapsed_seconds >= 0)
        line += "  in " + format_duration(format.elapsed_seconds);
    else if (format.total_steps > 0)
        line += "  ETA " + format_duration(format.remaining_seconds);
    return line;
}

Progress::Progress(std::string label, std::int64_t total_steps, std::int64_t start_step, bool quiet,
                   double line_interval_s)
    : label_(std::move(label)), total_steps_(total_steps), rate_step_(start_step), start_time_(Clock::now()),
      rate_time_(start_time_), draw_time_(start_time_), quiet_(quiet) {
    // A name from the command line may hold anything; control characters would break the line.
    std::replace_if(
        label_.begin(), label_.end(), [](unsigned char c) { return c < 0x20 || c == 0x7F; }, '?');
    state_.step = start_step;
    terminal_ = !quiet && stderr_is_terminal();
    color_ = terminal_ && !environment_has("NO_COLOR");
    unicode_ = terminal_ && locale_is_utf8();
    interval_ = terminal_ ? Clock::duration(kRedrawInterval)
                          : std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(line_interval_s));
    if (terminal_)
        guard_terminal();
}

Progress::~Progress() {
    finish();
}

void Progress::note_rate(Clock::time_point now) {
    const double seconds = std::chrono::duration<double>(now - rate_time_).count();
    const double steps = static_cast<double>(state_.step - rate_step_);
    if (seconds <= 0 || steps < 0)
        return;
    const double keep = std::exp(-seconds / kRateSeconds);
    smoothed_steps_ = smoothed_steps_ * keep + steps;
    smoothed_seconds_ = smoothed_seconds_ * keep + seconds;
    rate_step_ = state_.step;
    rate_time_ = now;
}

ProgressFormat Progress::format(Clock::time_point now, bool last) const {
    ProgressFormat format{.label = label_, .total_steps = total_steps_, .color = color_, .unicode = unicode_};
    const double left = static_cast<double>(std::max<std::int64_t>(total_steps_ - state_.step, 0));
    if (smoothed_steps_ > 0)
        format.remaining_seconds = left * smoothed_seconds_ / smoothed_steps_;
    if (last)
        format.elapsed_seconds = std::chrono::duration<double>(now - start_time_).count();
    return format;
}

void Progress::update(const ProgressState& state) {
    if (quiet_ || finished_)
        return;
    const Clock::time_point now = Clock::now();
    state_ = state;
    note_rate(now);
    pending_ = true;
    const bool first = !seen_ && terminal_; // a bar at once, so that the screen does not look dead
    seen_ = true;
    if (first || now - draw_time_ >= interval_)
        draw(now, false);
}

// Moves to where the drawn bar begins. A window that shrank since then has wrapped it over several rows.
std::string Progress::start_of_bar(int columns) const {
    if (drawn_columns_ <= columns)
        return "\r";
    return "\r\033[" + std::to_string((drawn_columns_ - 1) / columns) + "A";
}

void Progress::draw(Clock::time_point now, bool last) {
    draw_time_ = now;
    ProgressFormat how = format(now, last);
    if (!terminal_) {
        write_stderr(format_progress_line(state_, how) + "\n");
        pending_ = false;
        return;
    }
    if (in_background())
        return;
    const int columns = terminal_columns();
    how.columns = columns - 1; // the last column would leave some terminals in a pending wrap
    const std::string bar = format_progress_bar(state_, how);
    hide_cursor(); // every time: after Ctrl-Z the shell has shown it
    write_stderr(start_of_bar(columns) + bar + "\033[J");
    drawn_columns_ = text_columns(bar);
    pending_ = false;
}

void Progress::message(std::string_view text) {
    if (quiet_)
        return;
    std::string line(text);
    if (line.empty() || line.back() != '\n')
        line += '\n';
    if (!terminal_ || drawn_columns_ == 0 || finished_ || in_background()) {
        write_stderr(line);
        return;
    }
    write_stderr(start_of_bar(terminal_columns()) + "\033[J" + line);
    drawn_columns_ = 0;
    draw(Clock::now(), false);
}

void Progress::finish() {
    if (finished_)
        return;
    if (!quiet_ && seen_ && (terminal_ || pending_))
        draw(Clock::now(), true);
    finished_ = true;
    if (!terminal_)
        return;
    if (drawn_columns_ > 0 && !in_background())
        write_stderr("\n");
    restore_terminal();
    unguard_terminal();
}

} // namespace vkvae
