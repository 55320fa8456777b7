// Scatter plots as SVG: points in the plane, coloured by class, both axes to one scale.
#pragma once

#include <string>
#include <vector>

namespace vkvae {

struct ScatterChart {
    std::string id, title, unit, x_name, y_name, note;
    std::vector<double> x, y;         // as many
    std::vector<int> labels;          // as many, indices of classes; or empty
    std::vector<std::string> classes; // their names
};

// A <figure> of the report. Empty without a finite point.
std::string draw_scatter(const ScatterChart& chart);

// A whole .svg file, with its own style.
std::string scatter_file(const ScatterChart& chart);

} // namespace vkvae
