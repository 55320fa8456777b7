// What all charts share: the plot's geometry, axes, and the <figure> around the drawing.
#pragma once

#include <algorithm>
#include <string>

namespace vkvae {

// In units of the viewBox. A chart is as wide as its column in the page, so these are about CSS pixels on a desktop and
// 3/4 of one on a phone, where the style sheet enlarges the text; the margins leave room for that.
constexpr double kChartWidth = 480.0;
constexpr double kChartHeight = 236.0;
constexpr double kPlotLeft = 48.0;
constexpr double kPlotTop = 10.0;
constexpr double kPlotWidth = kChartWidth - kPlotLeft - 14.0;
constexpr double kPlotHeight = kChartHeight - kPlotTop - 30.0;

struct Axis {
    double lo = 0.0;
    double hi = 1.0;
};

// Room below and above the data, as shares of its width. The result is always wider than zero.
Axis widen(Axis axis, double below, double above);

inline double plot_x(const Axis& axis, double x) {
    return kPlotLeft + kPlotWidth * (x - axis.lo) / (axis.hi - axis.lo);
}
// Points above the axis stay within a few plot heights: some renderers lose far coordinates.
inline double plot_y(const Axis& axis, double y) {
    return kPlotTop + kPlotHeight * std::clamp((axis.hi - y) / (axis.hi - axis.lo), -4.0, 4.0);
}

// A coordinate for SVG: one decimal, no exponent.
std::string coordinate(double value);

std::string draw_axes(const Axis& x, const Axis& y, const std::string& x_name);
std::string draw_y_axis(const Axis& y);

// Plain text except legend and body, which are markup.
struct ChartParts {
    std::string id, title, unit, legend, description, note, body;
    double height = kChartHeight;
};
std::string wrap_chart(const ChartParts& parts);

} // namespace vkvae
