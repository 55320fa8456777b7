// Charts as inline SVG inside <figure> elements. Colours, fonts and dark mode come from the page's style sheet.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace vkvae {

struct Point {
    double x = 0.0;
    double y = 0.0; // not finite: marked on the axis, not drawn
};

// Axis ticks: a multiple of 1, 2, 2.5 or 5 times a power of ten, inside [lo, hi], with labels that share their decimals
// and unit.
struct Ticks {
    std::vector<double> at;
    std::vector<std::string> labels;
};
Ticks choose_ticks(double lo, double hi, int about);

// The points of one line.
struct Series {
    std::string name;
    std::string ink; // class of the line: "train", "test", "valid", "rank0" ... "rank4"
    std::vector<Point> points;
    bool noisy = false; // faint raw data under a smoothed line; otherwise the line itself
    bool dots = false;  // a dot with a tooltip at each point, where they are few
};

struct LineChart {
    std::string id; // unique in the page
    std::string title;
    std::string unit;
    std::string x_name = "step";
    std::vector<Series> series;
    bool from_zero = false; // the y axis starts at 0
    bool cut_peaks = true;  // the y axis leaves out early and single peaks that would flatten the rest
    bool legend = true;
    std::string note; // a sentence under the chart
};
// Empty when no series has a finite point.
std::string draw_line_chart(const LineChart& chart);

struct Bar {
    std::string label;
    double value = 0.0;
    std::string text; // the value as shown
    std::string ink;
};

struct BarChart {
    std::string id;
    std::string title;
    std::string unit;
    std::vector<Bar> bars;
    std::string note;
};
// Horizontal bars, one below the other, each under its label. For named quantities.
std::string draw_bar_rows(const BarChart& chart);
// Upright bars side by side with a y axis; labels only where they fit. For many small ones.
std::string draw_bar_columns(const BarChart& chart);

} // namespace vkvae
