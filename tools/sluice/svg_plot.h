// SPDX-License-Identifier: Apache-2.0
// A line plot as SVG, readable on light and dark pages.
#ifndef SLUICE_TOOLS_SLUICE_SVG_PLOT_H
#define SLUICE_TOOLS_SLUICE_SVG_PLOT_H

#include <string>
#include <utility>
#include <vector>

namespace sluice::cli {

struct PlotSeries {
  std::string name;
  std::vector<std::pair<double, double>> points;  // x ascending
};

// Axes from 0; the series' names stand beside their last points. A series of one point is a dot.
std::string svg_plot(const std::string& title, const std::string& x_label,
                     const std::string& y_label, const std::vector<PlotSeries>& series);

}  // namespace sluice::cli

#endif  // SLUICE_TOOLS_SLUICE_SVG_PLOT_H
