// Bar charts as inline SVG: rows for named quantities, columns for many small ones.
#include <algorithm>
#include <cmath>
#include <vector>

#include "report/chart_frame.hpp"
#include "report/html.hpp"
#include "report/svg.hpp"

namespace vkvae {
namespace {

// Cuts a long label in the middle: kernel names differ at both ends.
std::string shorten(const std::string& text, std::size_t most) {
    if (text.size() <= most)
        return text;
    const auto boundary = [&text](std::size_t at) {
        while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80)
            ++at; // not inside a UTF-8 sequence
        return at;
    };
    const std::size_t head = boundary(most / 2);
    return text.substr(0, head) + "…" + text.substr(std::max(head, boundary(text.size() - most / 2)));
}

} // namespace

std::string draw_bar_rows(const BarChart& chart) {
    constexpr double kRow = 37.0;
    constexpr std::size_t kLongestLabel = 34; // beside a value, at the enlarged size of a phone
    double largest = 0.0;
    for (const Bar& bar : chart.bars)
        if (std::isfinite(bar.value))
            largest = std::max(largest, bar.value);
    if (!(largest > 0))
        return {};
    std::string body, description;
    for (std::size_t i = 0; i < chart.bars.size(); ++i) {
        const Bar& bar = chart.bars[i];
        const double top = kRow * static_cast<double>(i);
        const double share = std::isfinite(bar.value) ? std::clamp(bar.value / largest, 0.0, 1.0) : 0.0;
        body += "<text class=\"code\" x=\"0\" y=\"" + coordinate(top + 16) + "\">" +
                escape_html(shorten(bar.label, kLongestLabel)) + "<title>" + escape_html(bar.label) +
                "</title></text><text class=\"end value\" x=\"" + coordinate(kChartWidth) + "\" y=\"" +
                coordinate(top + 16) + "\">" + escape_html(bar.text) + "</text><rect class=\"track\" x=\"0\" y=\"" +
                coordinate(top + 23) + "\" width=\"" + coordinate(kChartWidth) +
                "\" height=\"6\" rx=\"3\"/><rect class=\"bar " + escape_html(bar.ink) + "\" x=\"0\" y=\"" +
                coordinate(top + 23) + "\" width=\"" + coordinate(std::max(share * kChartWidth, 2.0)) +
                "\" height=\"6\" rx=\"3\"/>\n";
        description += (i > 0 ? ", " : "") + bar.label + " " + bar.text;
    }
    return wrap_chart({.id = chart.id,
                       .title = chart.title,
                       .unit = chart.unit,
                       .legend = "",
                       .description = description + ".",
                       .note = chart.note,
                       .body = body,
                       .height = kRow * static_cast<double>(chart.bars.size())});
}

std::string draw_bar_columns(const BarChart& chart) {
    constexpr std::size_t kMostBars = 400;  // narrower than a unit they would melt into a haze
    constexpr std::size_t kMostLabels = 20; // as many two-digit labels as fit on a phone
    const std::size_t each = (chart.bars.size() + kMostBars - 1) / kMostBars;
    std::vector<Bar> bars;
    double largest = 0.0;
    for (std::size_t i = 0; i < chart.bars.size(); i += each) {
        Bar bar = chart.bars[i];
        const std::size_t end = std::min(i + each, chart.bars.size());
        double sum = 0.0;
        for (std::size_t k = i; k < end; ++k)
            sum += std::isfinite(chart.bars[k].value) ? std::max(chart.bars[k].value, 0.0) : 0.0;
        bar.value = sum / static_cast<double>(end - i);
        if (each > 1)
            bar.text = format_number(bar.value);
        largest = std::max(largest, bar.value);
        bars.push_back(bar);
    }
    if (!(largest > 0) || !std::isfinite(largest))
        return {};
    const Axis y = Axis{0.0, 1.05 * largest};
    const double pitch = kPlotWidth / static_cast<double>(bars.size());
    const double gap = bars.size() <= 100 ? 0.18 * pitch : 0.0;
    const double base = kPlotTop + kPlotHeight;
    std::string body = draw_y_axis(y);
    for (std::size_t i = 0; i < bars.size(); ++i) {
        const double left = kPlotLeft + pitch * static_cast<double>(i);
        const double top = std::min(plot_y(y, bars[i].value), base - 0.8); // a bar of nothing is still there
        body += "<rect class=\"bar " + escape_html(bars[i].ink) + "\" x=\"" + coordinate(left + gap / 2) + "\" y=\"" +
                coordinate(top) + "\" width=\"" + coordinate(std::max(pitch - gap, 0.5)) + "\" height=\"" +
                coordinate(base - top) + "\"><title>" + escape_html(bars[i].label + ": " + bars[i].text) +
                "</title></rect>";
        if (bars.size() <= kMostLabels)
            body += "<text class=\"mid small\" x=\"" + coordinate(left + pitch / 2) + "\" y=\"" +
                    coordinate(base + 18) + "\">" + escape_html(bars[i].label) + "</text>";
        body += "\n";
    }
    if (bars.size() > kMostLabels)
        body += "<text class=\"end axis-name\" x=\"" + coordinate(kPlotLeft + kPlotWidth) + "\" y=\"" +
                coordinate(base + 18) + "\">" + format_count(static_cast<double>(chart.bars.size())) +
                " in all</text>\n";
    std::string note = chart.note;
    if (each > 1)
        note += " Each bar is the mean of " + format_count(static_cast<double>(each)) + ".";
    return wrap_chart({.id = chart.id,
                       .title = chart.title,
                       .unit = chart.unit,
                       .legend = "",
                       .description = format_count(static_cast<double>(chart.bars.size())) + " bars, the highest " +
                                      format_number(largest) + ".",
                       .note = note,
                       .body = body,
                       .height = kChartHeight});
}

} // namespace vkvae
