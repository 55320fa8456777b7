// Ticks, axes and the <figure> of a chart.
//   tick step = first of {1, 2, 2.5, 5, 10} * 10^k that is >= (hi - lo) / about
#include "report/chart_frame.hpp"

#include <array>
#include <charconv>
#include <cmath>

#include "report/html.hpp"
#include "report/svg.hpp"

namespace vkvae {
namespace {

struct TickUnit {
    double size;
    const char* suffix;
};

// One unit for all labels of an axis, so that they compare at a glance.
TickUnit tick_unit(double largest) {
    if (largest >= 1e12 || largest < 1e4)
        return {1.0, ""};
    if (largest >= 1e9)
        return {1e9, "G"};
    return largest >= 1e6 ? TickUnit{1e6, "M"} : TickUnit{1e3, "k"};
}

std::string tick_label(double value, double step, double largest) {
    if (value == 0)
        return "0";
    if (largest >= 1e12 || largest < 0.01)
        return format_exponent(value);
    const TickUnit unit = tick_unit(largest);
    int decimals = 0;
    for (double scaled = step / unit.size; decimals < 9 && std::fabs(scaled - std::round(scaled)) > 1e-6; scaled *= 10)
        ++decimals;
    return format_fixed(value / unit.size, decimals) + unit.suffix;
}

} // namespace

Ticks choose_ticks(double lo, double hi, int about) {
    Ticks ticks;
    if (!std::isfinite(lo) || !std::isfinite(hi) || lo > hi || !std::isfinite(hi - lo))
        return ticks;
    const double size = std::max(std::fabs(lo), std::fabs(hi));
    if (hi - lo <= size * 1e-12 || hi - lo < 1e-300) { // too close for distinct labels
        ticks.at = {lo};
        ticks.labels = {format_short(lo)};
        return ticks;
    }
    const double wanted = (hi - lo) / std::max(about, 1);
    const double power = std::pow(10.0, std::floor(std::log10(wanted)));
    double step = 10 * power;
    for (const double factor : {5.0, 2.5, 2.0, 1.0})
        if (factor * power >= wanted * (1 - 1e-9))
            step = factor * power;
    constexpr double kSlack = 1e-9; // a bound that is a tick up to rounding counts as one
    const double first = std::ceil(lo / step - kSlack), last = std::floor(hi / step + kSlack);
    for (double i = first; i <= last && ticks.at.size() < 50; ++i)
        ticks.at.push_back(i == 0 ? 0.0 : i * step);
    double largest = 0.0;
    for (const double at : ticks.at)
        largest = std::max(largest, std::fabs(at));
    for (const double at : ticks.at)
        ticks.labels.push_back(tick_label(at, step, largest));
    return ticks;
}

Axis widen(Axis axis, double below, double above) {
    const double width = axis.hi - axis.lo;
    const double size = std::max(std::fabs(axis.lo), std::fabs(axis.hi));
    if (width <= size * 1e-9 || width < 1e-200) { // one value: put it in the middle
        const double room = size > 1e-200 ? size * 0.1 : 0.5;
        return {axis.lo - room, axis.hi + room};
    }
    return {axis.lo - below * width, axis.hi + above * width};
}

std::string coordinate(double value) {
    std::array<char, 32> text{};
    const double rounded = std::round(std::clamp(value, -1e6, 1e6) * 10) / 10;
    const std::to_chars_result result =
        std::to_chars(text.data(), text.data() + text.size(), rounded == 0 ? 0.0 : rounded, std::chars_format::fixed);
    return std::string(text.data(), result.ptr);
}

std::string draw_y_axis(const Axis& y) {
    std::string out;
    const Ticks ticks = choose_ticks(y.lo, y.hi, 5);
    for (std::size_t i = 0; i < ticks.at.size(); ++i) {
        const double at = plot_y(y, ticks.at[i]);
        out += "<path class=\"grid\" d=\"M" + coordinate(kPlotLeft) + " " + coordinate(at) + "H" +
               coordinate(kPlotLeft + kPlotWidth) + "\"/><text class=\"end\" x=\"" + coordinate(kPlotLeft - 7) +
               "\" y=\"" + coordinate(at + 4) + "\">" + ticks.labels[i] + "</text>\n";
    }
    return out + "<path class=\"axis\" d=\"M" + coordinate(kPlotLeft) + " " + coordinate(kPlotTop + kPlotHeight) + "H" +
           coordinate(kPlotLeft + kPlotWidth) + "\"/>\n";
}

std::string draw_axes(const Axis& x, const Axis& y, const std::string& x_name) {
    std::string out = draw_y_axis(y);
    const Ticks ticks = choose_ticks(x.lo, x.hi, 5);
    const double base = kPlotTop + kPlotHeight;
    for (std::size_t i = 0; i < ticks.at.size(); ++i) {
        const double at = plot_x(x, ticks.at[i]);
        // The name of the axis stands at its right end, in place of a label that would touch it.
        const bool crowded = at > kPlotLeft + kPlotWidth - 8.5 * static_cast<double>(x_name.size()) - 14;
        out += "<path class=\"axis\" d=\"M" + coordinate(at) + " " + coordinate(base) + "v4\"/>";
        if (!crowded)
            out += "<text class=\"mid\" x=\"" + coordinate(at) + "\" y=\"" + coordinate(base + 20) + "\">" +
                   ticks.labels[i] + "</text>";
        out += "\n";
    }
    return out + "<text class=\"end axis-name\" x=\"" + coordinate(kPlotLeft + kPlotWidth) + "\" y=\"" +
           coordinate(base + 20) + "\">" + escape_html(x_name) + "</text>\n";
}

std::string wrap_chart(const ChartParts& parts) {
    const std::string id = escape_html(parts.id);
    const std::string tall = parts.height > 1.8 * kChartHeight ? " tall" : ""; // takes two rows of the page's grid
    std::string out = "<figure class=\"chart" + tall + "\" id=\"" + id + "\">\n<figcaption><span class=\"name\">" +
                      escape_html(parts.title);
    if (!parts.unit.empty())
        out += " <small>" + escape_html(parts.unit) + "</small>";
    out += "</span>" + parts.legend + "</figcaption>\n<svg role=\"img\" viewBox=\"0 0 " + coordinate(kChartWidth) +
           " " + coordinate(parts.height) + "\" aria-labelledby=\"" + id + "-title " + id + "-desc\">\n<title id=\"" +
           id + "-title\">" + escape_html(parts.title) + "</title><desc id=\"" + id + "-desc\">" +
           escape_html(parts.description) + "</desc>\n" + parts.body + "</svg>\n";
    if (!parts.note.empty())
        out += "<p class=\"note\">" + escape_html(parts.note) + "</p>\n";
    return out + "</figure>\n";
}

} // namespace vkvae
