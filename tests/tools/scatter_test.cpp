// The contract of scatter plots: every finite point is drawn once, in its class's colour, at one scale.
#include "report/scatter.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>

using namespace vkvae;

namespace {

size_t times(const std::string& text, const std::string& part) {
    size_t count = 0;
    for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1))
        count++;
    return count;
}

ScatterChart chart_of(size_t points) {
    ScatterChart chart{.id = "s",
                       .title = "A <title>",
                       .unit = "u",
                       .x_name = "x",
                       .y_name = "y",
                       .note = "A note.",
                       .x = {},
                       .y = {},
                       .labels = {},
                       .classes = {"a", "b & c"}};
    for (size_t i = 0; i < points; i++) {
        chart.x.push_back(double(i % 5));
        chart.y.push_back(double(i % 7) / 7);
        chart.labels.push_back(int(i % 2));
    }
    return chart;
}

// The attribute's numbers of the first path of this class: "M1 2h0M3 4h0".
std::vector<std::pair<double, double>> places(const std::string& svg, const std::string& ink) {
    std::vector<std::pair<double, double>> result;
    size_t at = svg.find("class=\"points " + ink + "\" d=\"");
    REQUIRE(at != std::string::npos);
    at = svg.find("d=\"", at) + 3;
    while (svg[at] == 'M') {
        char* end = nullptr;
        double x = std::strtod(svg.c_str() + at + 1, &end), y = std::strtod(end, &end);
        result.push_back({x, y});
        at = size_t(end - svg.c_str()) + 2; // behind "h0"
    }
    return result;
}

} // namespace

TEST_CASE("a scatter plot draws each point once, names its classes, and escapes what it is told") {
    ScatterChart chart = chart_of(20);
    std::string svg = draw_scatter(chart);
    CHECK(times(svg, "h0") == 20);
    CHECK(times(svg, "class=\"points class0\"") == 1);
    CHECK(places(svg, "class1").size() == 10);
    CHECK(svg.find("b &amp; c</text>") != std::string::npos);
    CHECK(svg.find("A &lt;title&gt;") != std::string::npos);
    CHECK(svg.find("A note.") != std::string::npos);
    CHECK(svg.find("20 points of 2 classes") != std::string::npos);
}

TEST_CASE("both axes have one scale, and points keep their order") {
    ScatterChart chart = chart_of(2);
    chart.classes.clear();
    chart.labels.clear();
    chart.x = {0, 4, 0};
    chart.y = {0, 0, 3};
    auto at = places(draw_scatter(chart), "class0");
    REQUIRE(at.size() == 3);
    CHECK((at[1].first - at[0].first) / 4 == doctest::Approx((at[0].second - at[2].second) / 3).epsilon(0.01));
    chart.y = {0, 0, 1e4}; // very high: still whole, inside of the drawing
    at = places(draw_scatter(chart), "class0");
    CHECK(at[2].second > 0);
    CHECK(at[0].second < 600);
}

TEST_CASE("values that are not finite are left out; without any other there is no plot") {
    ScatterChart chart = chart_of(6);
    chart.x[2] = NAN, chart.y[3] = INFINITY, chart.x[4] = 1e300;
    CHECK(times(draw_scatter(chart), "h0") == 3);
    for (double& x : chart.x)
        x = NAN;
    CHECK(draw_scatter(chart).empty());
    CHECK(draw_scatter(chart_of(0)).empty());
    CHECK(times(draw_scatter(chart_of(1)), "h0") == 1); // a lone point has a place, too
    ScatterChart same = chart_of(9);
    same.x.assign(9, 2.0), same.y.assign(9, -1.0);
    CHECK(draw_scatter(same).find("nan") == std::string::npos);
}

TEST_CASE("a scatter file is SVG with its own style") {
    std::string svg = scatter_file(chart_of(8));
    CHECK(svg.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\""));
    CHECK(svg.find("--class0:") != std::string::npos);
    CHECK(times(svg, "h0") == 8);
    CHECK(svg.ends_with("</svg>\n"));
}
