// Line charts as inline SVG: axis ticks, clipping of early peaks, min/max envelope, smoothed line over raw data.
#include "report/svg.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <span>
#include <utility>

#include "report/chart_frame.hpp"
#include "report/html.hpp"

namespace vkvae {
namespace {

constexpr double kLargest = 1e100;     // beyond it a value counts as not finite: differences must not overflow
constexpr std::size_t kBins = 400;     // about one per unit of the plot's width
constexpr std::size_t kMostDots = 40;  // more would hide the line
constexpr std::size_t kMostMarks = 12; // marks of values that are not finite
constexpr std::size_t kFewestToSmooth = 20;

bool drawable(double value) {
    return std::isfinite(value) && std::fabs(value) < kLargest;
}

// A place on the x axis: a step, or a number with decimals.
std::string place_text(double x) {
    return x == std::floor(x) ? format_count(x) : format_short(x, 3);
}

// A series without the points that cannot be drawn, and thinned to the resolution of the plot.
struct Line {
    const Series* series = nullptr;
    std::vector<Point> points;    // all drawable ones
    std::vector<double> bad_x;    // where y is not finite
    std::vector<Point> means;     // one per bin, or the points themselves
    std::vector<Point> low, high; // envelope, one per bin; empty when the points are few
};

Line make_line(const Series& series) {
    Line line{.series = &series, .points = {}, .bad_x = {}, .means = {}, .low = {}, .high = {}};
    for (const Point& point : series.points) {
        if (!drawable(point.x))
            continue;
        if (drawable(point.y))
            line.points.push_back(point);
        else
            line.bad_x.push_back(point.x);
    }
    std::stable_sort(line.points.begin(), line.points.end(), [](Point a, Point b) { return a.x < b.x; });
    return line;
}

void thin_out(Line& line, const Axis& x) {
    if (line.points.size() <= 2 * kBins) {
        line.means = line.points;
        return;
    }
    for (std::size_t begin = 0; begin < line.points.size();) {
        const auto bin_of = [&](Point p) {
            return std::floor((p.x - x.lo) / (x.hi - x.lo) * static_cast<double>(kBins));
        };
        std::size_t end = begin;
        Point mean, low = line.points[begin], high = low;
        for (; end < line.points.size() && bin_of(line.points[end]) == bin_of(line.points[begin]); ++end) {
            const Point p = line.points[end];
            mean.x += p.x;
            mean.y += p.y;
            low.y = std::min(low.y, p.y);
            high.y = std::max(high.y, p.y);
        }
        const double count = static_cast<double>(end - begin);
        mean = {mean.x / count, mean.y / count};
        line.means.push_back(mean);
        line.low.push_back({mean.x, low.y});
        line.high.push_back({mean.x, high.y});
        begin = end;
    }
}

// Triangular moving average. At the left end, where losses fall steeply, the window shrinks on both sides, which keeps
// the first values where they are; at the flat right end it is cut off, which keeps the last value calm.
std::vector<Point> smooth(const std::vector<Point>& points) {
    const std::ptrdiff_t n = std::ssize(points);
    const std::ptrdiff_t widest = std::max<std::ptrdiff_t>(2, n / 16);
    std::vector<Point> out(points);
    for (std::ptrdiff_t i = 0; i < n; ++i) {
        const std::ptrdiff_t half = std::min(widest, i);
        double sum = 0.0, weights = 0.0;
        for (std::ptrdiff_t k = i - half; k <= std::min(i + half, n - 1); ++k) {
            const double weight = static_cast<double>(half + 1 - std::abs(k - i));
            sum += weight * points[static_cast<std::size_t>(k)].y;
            weights += weight;
        }
        out[static_cast<std::size_t>(i)].y = sum / weights;
    }
    return out;
}

std::optional<Axis> x_axis_of(const std::vector<Line>& lines) {
    double lo = std::numeric_limits<double>::infinity(), hi = -lo;
    for (const Line& line : lines)
        for (const Point& point : line.points) {
            lo = std::min(lo, point.x);
            hi = std::max(hi, point.x);
        }
    if (lo > hi)
        return std::nullopt;
    if (lo > 0 && (lo < 0.1 * hi || lo == hi))
        lo = 0; // the first record comes after a few steps; the run began at 0
    return widen({lo, hi}, 0.0, 0.0);
}

struct YAxis {
    Axis axis;
    std::size_t cut = 0; // how many points lie above it
    double highest = 0.0;
};

// The first losses of a run are several times the last ones, and single records leap. The axis ends where 99.5 % of the
// points after the first twentieth of the run end, if it would otherwise give more than 40 % of its height to the rest.
// The chart then says so.
YAxis y_axis_of(const std::vector<Line>& lines, const LineChart& chart, const Axis& x) {
    std::vector<double> values, later;
    for (const Line& line : lines)
        for (const Point& point : line.points) {
            values.push_back(point.y);
            if (point.x > x.lo + 0.05 * (x.hi - x.lo))
                later.push_back(point.y);
        }
    double lo = *std::min_element(values.begin(), values.end());
    double hi = *std::max_element(values.begin(), values.end());
    YAxis result{.axis = {}, .cut = 0, .highest = hi};
    if (chart.cut_peaks && later.size() >= 50) {
        const std::vector<double>::iterator place =
            later.begin() + static_cast<std::ptrdiff_t>((later.size() - 1) * 995 / 1000);
        std::nth_element(later.begin(), place, later.end());
        if (hi - lo > (*place - lo) / 0.6 && *place > lo)
            hi = *place;
    }
    const bool at_zero = chart.from_zero && lo >= 0 && hi > 0;
    result.axis = at_zero ? Axis{0.0, 1.06 * hi} : widen({lo, hi}, 0.05, 0.06);
    result.cut = static_cast<std::size_t>(
        std::count_if(values.begin(), values.end(), [&result](double value) { return value > result.axis.hi; }));
    return result;
}

std::string path_of(const std::vector<Point>& points, const Axis& x, const Axis& y) {
    std::string out;
    for (const Point& point : points)
        out += (out.empty() ? "M" : "L") + coordinate(plot_x(x, point.x)) + " " + coordinate(plot_y(y, point.y));
    if (points.size() == 1) // a lone point shows as the round cap of a line without length
        out += "h0";
    return out;
}

std::string draw_path(std::string_view what, const Series& series, const std::string& path) {
    return "<path class=\"" + std::string(what) + " " + escape_html(series.ink) + "\" d=\"" + path + "\"/>\n";
}

std::string draw_line(const Line& line, const LineChart& chart, const Axis& x, const Axis& y) {
    const Series& series = *line.series;
    std::string out;
    const bool smoothed = series.noisy && line.means.size() >= kFewestToSmooth;
    if (!line.low.empty() && smoothed) {
        std::vector<Point> outline(line.high);
        outline.insert(outline.end(), line.low.rbegin(), line.low.rend());
        out += draw_path("band", series, path_of(outline, x, y) + "Z");
    } else if (smoothed) {
        out += draw_path("raw", series, path_of(line.points, x, y));
    }
    out += draw_path("line", series, path_of(smoothed ? smooth(line.means) : line.means, x, y));
    if (series.dots && line.points.size() <= kMostDots)
        for (const Point& point : line.points)
            out += "<circle class=\"dot " + escape_html(series.ink) + "\" r=\"2.6\" cx=\"" +
                   coordinate(plot_x(x, point.x)) + "\" cy=\"" + coordinate(plot_y(y, point.y)) + "\"><title>" +
                   escape_html(series.name) + ", " + escape_html(chart.x_name) + " " + place_text(point.x) + ": " +
                   format_number(point.y) + "</title></circle>\n";
    return out;
}

std::string draw_marks(const std::vector<Line>& lines, const LineChart& chart, const Axis& x) {
    std::string out;
    std::size_t marks = 0;
    for (const Line& line : lines)
        for (const double at : line.bad_x) {
            if (++marks > kMostMarks)
                return out;
            if (at < x.lo || at > x.hi) // the axis follows what can be drawn
                continue;
            out += "<text class=\"bad mid\" x=\"" + coordinate(plot_x(x, at)) + "\" y=\"" +
                   coordinate(kPlotTop + kPlotHeight - 4) + "\">×<title>not finite: " + escape_html(line.series->name) +
                   ", " + escape_html(chart.x_name) + " " + format_count(at) + "</title></text>\n";
        }
    return out;
}

double last_value(const Line& line) {
    const bool smoothed = line.series->noisy && line.means.size() >= kFewestToSmooth;
    return smoothed ? smooth(line.means).back().y : line.points.back().y;
}

std::string draw_legend(const std::vector<Line>& lines) {
    std::string out;
    for (const Line& line : lines) {
        if (line.points.empty())
            continue;
        const double last = last_value(line);
        const std::string value = std::fabs(last) >= 1e4                    ? format_compact(last)
                                  : line.series->noisy || line.series->dots ? format_number(last)
                                                                            : format_short(last); // a setting
        out += "<span class=\"key " + escape_html(line.series->ink) + "\">" + escape_html(line.series->name) + " <b>" +
               value + "</b></span>";
    }
    return "<span class=\"legend\">" + out + "</span>";
}

std::string describe(const std::vector<Line>& lines, const LineChart& chart) {
    std::string out;
    std::size_t told = 0;
    for (const Line& line : lines) {
        if (line.points.empty() || ++told > 4) // a screen reader is not helped by sixty lines
            continue;
        out += (out.empty() ? "" : "; ") + line.series->name + " from " + format_number(line.points.front().y) +
               " to " + format_number(last_value(line)) + " between " + chart.x_name + " " +
               place_text(line.points.front().x) + " and " + place_text(line.points.back().x);
    }
    return out + ".";
}

std::string chart_note(const std::vector<Line>& lines, const LineChart& chart, const YAxis& y) {
    std::string note = chart.note;
    const auto add = [&note](const std::string& sentence) { note += (note.empty() ? "" : " ") + sentence; };
    if (y.cut > 0)
        add("Not shown: " + format_count(static_cast<double>(y.cut)) + (y.cut == 1 ? " point" : " points") +
            " above the axis, up to " + format_number(y.highest) + ".");
    std::size_t bad = 0;
    double first = std::numeric_limits<double>::infinity();
    for (const Line& line : lines)
        for (const double at : line.bad_x) {
            ++bad;
            first = std::min(first, at);
        }
    if (bad > 0)
        add(format_count(static_cast<double>(bad)) + (bad == 1 ? " value is" : " values are") +
            " not finite, the first at " + chart.x_name + " " + format_count(first) + ".");
    return note;
}

} // namespace

std::string draw_line_chart(const LineChart& chart) {
    std::vector<Line> lines;
    for (const Series& series : chart.series)
        lines.push_back(make_line(series));
    const std::optional<Axis> x = x_axis_of(lines);
    if (!x)
        return {};
    const YAxis y = y_axis_of(lines, chart, *x);
    std::string body = draw_axes(*x, y.axis, chart.x_name);
    body += "<clipPath id=\"" + escape_html(chart.id) + "-clip\"><rect x=\"" + coordinate(kPlotLeft - 3) + "\" y=\"" +
            coordinate(kPlotTop - 3) + "\" width=\"" + coordinate(kPlotWidth + 6) + "\" height=\"" +
            coordinate(kPlotHeight + 4) + "\"/></clipPath>\n<g clip-path=\"url(#" + escape_html(chart.id) +
            "-clip)\">\n";
    for (Line& line : lines) {
        if (line.points.empty())
            continue;
        thin_out(line, *x);
        body += draw_line(line, chart, *x, y.axis);
    }
    body += "</g>\n" + draw_marks(lines, chart, *x);
    return wrap_chart({.id = chart.id,
                       .title = chart.title,
                       .unit = chart.unit,
                       .legend = chart.legend ? draw_legend(lines) : "",
                       .description = describe(lines, chart),
                       .note = chart_note(lines, chart, y),
                       .body = body,
                       .height = kChartHeight});
}

} // namespace vkvae
