// Scatter plots: one path a class (a point is a line without length, its round cap what is seen), so that thousands of
// points are a few dozen bytes each; classes are named where their points are, for readers who do not see the hue.
#include "report/scatter.hpp"

#include <algorithm>
#include <cmath>

#include "report/chart_frame.hpp"
#include "report/html.hpp"
#include "report/style.hpp"
#include "report/svg.hpp"

namespace vkvae {
namespace {

constexpr std::size_t kInks = 10;                       // .class0 to .class9 of the style sheet; then they repeat
constexpr std::size_t kMostNames = 30;                  // of classes in the plot
constexpr double kLargest = 1e100;                      // differences must not overflow
constexpr double kLeastHeight = 380, kMostHeight = 440; // about square; two rows of the report's grid

bool drawable(const ScatterChart& chart, std::size_t i) {
    return std::fabs(chart.x[i]) < kLargest && std::fabs(chart.y[i]) < kLargest; // also false for NaN
}

std::size_t class_of(const ScatterChart& chart, std::size_t i) {
    return chart.labels.empty() || chart.labels[i] < 0 ? 0 : static_cast<std::size_t>(chart.labels[i]);
}

// Data to drawing: one unit is as long upwards as sideways.
struct Frame {
    Axis x, y;
    double height = 0; // of the plot
    double at_x(double value) const { return plot_x(x, value); }
    double at_y(double value) const { return kPlotTop + height * (y.hi - value) / (y.hi - y.lo); }
};

Frame frame_of(const ScatterChart& chart) {
    Axis x{INFINITY, -INFINITY}, y = x;
    for (std::size_t i = 0; i < chart.x.size(); ++i)
        if (drawable(chart, i)) {
            x = {std::min(x.lo, chart.x[i]), std::max(x.hi, chart.x[i])};
            y = {std::min(y.lo, chart.y[i]), std::max(y.hi, chart.y[i])};
        }
    Frame frame{widen(x, 0.03, 0.03), widen(y, 0.03, 0.03), 0};
    const double width_x = frame.x.hi - frame.x.lo, width_y = frame.y.hi - frame.y.lo;
    frame.height = std::clamp(kPlotWidth * width_y / width_x, kLeastHeight, kMostHeight);
    // What the limits of the height leave over becomes room beside the points.
    const double unit = std::max(width_x / kPlotWidth, width_y / frame.height);
    const double room_x = (unit * kPlotWidth - width_x) / 2, room_y = (unit * frame.height - width_y) / 2;
    frame.x = {frame.x.lo - room_x, frame.x.hi + room_x};
    frame.y = {frame.y.lo - room_y, frame.y.hi + room_y};
    return frame;
}

std::string draw_frame(const ScatterChart& chart, const Frame& frame) {
    std::string out;
    const double base = kPlotTop + frame.height, right = kPlotLeft + kPlotWidth;
    const Ticks across = choose_ticks(frame.x.lo, frame.x.hi, 6), up = choose_ticks(frame.y.lo, frame.y.hi, 6);
    for (std::size_t i = 0; i < across.at.size(); ++i) {
        const std::string at = coordinate(frame.at_x(across.at[i]));
        out += "<path class=\"grid\" d=\"M" + at + " " + coordinate(kPlotTop) + "V" + coordinate(base) + "\"/>";
        out +=
            "<text class=\"mid\" x=\"" + at + "\" y=\"" + coordinate(base + 18) + "\">" + across.labels[i] + "</text>";
        out += "\n";
    }
    for (std::size_t i = 0; i < up.at.size(); ++i) {
        const double at = frame.at_y(up.at[i]);
        out += "<path class=\"grid\" d=\"M" + coordinate(kPlotLeft) + " " + coordinate(at) + "H" + coordinate(right) +
               "\"/><text class=\"end\" x=\"" + coordinate(kPlotLeft - 7) + "\" y=\"" + coordinate(at + 4) + "\">" +
               up.labels[i] + "</text>\n";
    }
    return out + "<text class=\"end axis-name\" x=\"" + coordinate(right) + "\" y=\"" + coordinate(base + 38) + "\">" +
           escape_html(chart.x_name) + "</text><text class=\"axis-name\" x=\"" + coordinate(kPlotLeft + 5) + "\" y=\"" +
           coordinate(kPlotTop + 11) + "\">" + escape_html(chart.y_name) + "</text>\n";
}

// The middle of a class, as the median of each coordinate: outliers do not pull its name away.
Point middle_of(std::vector<Point> points) {
    const std::ptrdiff_t half = std::ssize(points) / 2;
    const auto median = [&](auto less) {
        std::nth_element(points.begin(), points.begin() + half, points.end(), less);
        return points[static_cast<std::size_t>(half)];
    };
    return {median([](Point a, Point b) { return a.x < b.x; }).x, median([](Point a, Point b) { return a.y < b.y; }).y};
}

std::string draw_points(const ScatterChart& chart, const Frame& frame) {
    std::string paths, names;
    std::size_t classes = std::max<std::size_t>(chart.classes.size(), 1);
    for (std::size_t c = 0; c < classes; ++c) {
        std::vector<Point> points;
        std::string path;
        for (std::size_t i = 0; i < chart.x.size(); ++i)
            if (drawable(chart, i) && class_of(chart, i) == c) {
                points.push_back({frame.at_x(chart.x[i]), frame.at_y(chart.y[i])});
                path += "M" + coordinate(points.back().x) + " " + coordinate(points.back().y) + "h0";
            }
        if (points.empty())
            continue;
        paths += "<path class=\"points class" + std::to_string(c % kInks) + "\" d=\"" + path + "\"/>\n";
        if (c >= chart.classes.size() || chart.classes.size() < 2 || chart.classes.size() > kMostNames)
            continue;
        const Point middle = middle_of(std::move(points));
        names += "<text class=\"mid class-name class" + std::to_string(c % kInks) + "\" x=\"" + coordinate(middle.x) +
                 "\" y=\"" + coordinate(middle.y + 5) + "\">" + escape_html(chart.classes[c]) + "</text>\n";
    }
    return paths + names;
}

std::size_t drawn(const ScatterChart& chart) {
    std::size_t count = 0;
    for (std::size_t i = 0; i < chart.x.size(); ++i)
        count += drawable(chart, i) ? 1 : 0;
    return count;
}

constexpr double kFoot = 44; // below the plot: labels and name of the axis

} // namespace

std::string draw_scatter(const ScatterChart& chart) {
    const std::size_t count = drawn(chart);
    if (count == 0)
        return {};
    const Frame frame = frame_of(chart);
    return wrap_chart(
        {.id = chart.id,
         .title = chart.title,
         .unit = chart.unit,
         .legend = "",
         .description =
             format_count(static_cast<double>(count)) + " points" +
             (chart.classes.empty() ? std::string(".") : " of " + std::to_string(chart.classes.size()) + " classes."),
         .note = chart.note,
         .body = draw_frame(chart, frame) + draw_points(chart, frame),
         .height = kPlotTop + frame.height + kFoot});
}

std::string scatter_file(const ScatterChart& chart) {
    constexpr double kHead = 34, kMargin = 14; // the title above, paper around
    std::string body;
    double height = kLeastHeight;
    if (drawn(chart) > 0) {
        const Frame frame = frame_of(chart);
        body = draw_frame(chart, frame) + draw_points(chart, frame);
        height = kPlotTop + frame.height + kFoot;
    }
    const double width = kChartWidth + 2 * kMargin, whole = height + kHead + 2 * kMargin;
    return "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"" + coordinate(1.5 * width) + "\" height=\"" +
           coordinate(1.5 * whole) + "\" viewBox=\"" + coordinate(-kMargin) + " " + coordinate(-kHead - kMargin) + " " +
           coordinate(width) + " " + coordinate(whole) + "\">\n<style>" + std::string(kColourStyle) +
           std::string(kChartStyle) + ".title{font-weight:600;font-size:15px;fill:var(--ink)}</style>\n<rect x=\"" +
           coordinate(-kMargin) + "\" y=\"" + coordinate(-kHead - kMargin) + "\" width=\"" + coordinate(width) +
           "\" height=\"" + coordinate(whole) + "\" fill=\"var(--paper)\"/>\n<text class=\"title\" x=\"0\" y=\"-20\">" +
           escape_html(chart.title) + "</text><text x=\"0\" y=\"-4\">" + escape_html(chart.unit) + "</text>\n" + body +
           "</svg>\n";
}

} // namespace vkvae
