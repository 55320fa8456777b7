// Training progress on stderr: one redrawn line on a terminal, a plain line every few seconds elsewhere.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace vkvae {

// One moment of training. Losses in nats per sample.
struct ProgressState {
    std::int64_t step = 0;
    double epoch = 0.0;
    double loss = 0.0;
    double nll = 0.0;
    double kl = 0.0;
    double images_per_second = 0.0;
};

// What the two line formats below need besides the state.
struct ProgressFormat {
    std::string_view label;
    std::int64_t total_steps = 0;  // 0: unknown, so neither a bar nor an ETA
    double remaining_seconds = -1; // negative: not known yet
    double elapsed_seconds = -1;   // not negative: the run is over, show this instead of the ETA
    int columns = 80;
    bool color = false;
    bool unicode = false;
};

// The line for a terminal: never wider than `columns`; the least important fields go first.
std::string format_progress_bar(const ProgressState& state, const ProgressFormat& format);

// The line for a log file: all fields, no control sequences.
std::string format_progress_line(const ProgressState& state, const ProgressFormat& format);

// "0:07", "12:34", "1:02:03", "2d 03:04"; "--:--" when negative or not finite.
std::string format_duration(double seconds);

// The display. Use one at a time, from one thread. While it draws on a terminal the cursor is hidden; it comes back in
// finish(), in the destructor, at exit(), on Ctrl-Z, and on a fatal signal whose disposition was the default one. A
// program with its own handler that ends in _exit() calls restore_terminal() (terminal.hpp) there.
class Progress {
  public:
    // `line_interval_s` is the pause between lines when stderr is not a terminal.
    Progress(std::string label, std::int64_t total_steps, std::int64_t start_step, bool quiet,
             double line_interval_s = 5.0);
    ~Progress();
    Progress(const Progress&) = delete;
    Progress& operator=(const Progress&) = delete;

    // Cheap enough to call every step: draws at most ten times a second.
    void update(const ProgressState& state);
    // Prints a line above the bar (with or without its newline).
    void message(std::string_view text);
    // Draws the last state and ends the line. Further calls do nothing.
    void finish();

  private:
    using Clock = std::chrono::steady_clock;

    void note_rate(Clock::time_point now);
    std::string start_of_bar(int columns) const;
    void draw(Clock::time_point now, bool last);
    ProgressFormat format(Clock::time_point now, bool last) const;

    std::string label_;
    std::int64_t total_steps_;
    ProgressState state_;
    std::int64_t rate_step_; // the step at rate_time_
    double smoothed_steps_ = 0.0;
    double smoothed_seconds_ = 0.0;
    Clock::time_point start_time_;
    Clock::time_point rate_time_;
    Clock::time_point draw_time_;
    Clock::duration interval_;
    int drawn_columns_ = 0; // width of what is on the terminal's last line, 0 when it is empty
    bool quiet_;
    bool terminal_ = false;
    bool color_ = false;
    bool unicode_ = false;
    bool seen_ = false;    // update() was called
    bool pending_ = false; // the state is newer than what is drawn
    bool finished_ = false;
};

} // namespace vkvae
