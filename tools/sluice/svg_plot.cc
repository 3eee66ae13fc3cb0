// SPDX-License-Identifier: Apache-2.0
// Drawing: a frame, round ticks, one polyline a series.
#include "tools/sluice/svg_plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace sluice::cli {
namespace {

constexpr double kWidth = 760, kHeight = 420, kLeft = 70, kRight = 190, kTop = 40, kBottom = 50;
constexpr const char* kColours[] = {"#2a78b5", "#d1602f", "#3c9150", "#8e5bb0"};

// 1, 2 or 5 times a power of ten, so that about five of them make up `range`.
double round_tick(double range) {
  const double raw = range / 5;
  const double power = std::pow(10.0, std::floor(std::log10(raw)));
  for (const double f : {1.0, 2.0, 5.0}) {
    if (raw <= f * power) return f * power;
  }
  return 10 * power;
}

}  // namespace

std::string svg_plot(const std::string& title, const std::string& x_label,
                     const std::string& y_label, const std::vector<PlotSeries>& series) {
  double x_max = 1e-9, y_max = 1e-9;
  for (const PlotSeries& s : series) {
    for (const auto& [x, y] : s.points) {
      x_max = std::max(x_max, x);
      y_max = std::max(y_max, y);
    }
  }
  const auto px = [&](double x) { return kLeft + x / x_max * (kWidth - kLeft - kRight); };
  const auto py = [&](double y) {
    return kHeight - kBottom - y / y_max * (kHeight - kTop - kBottom);
  };
  std::string out = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" font-family=\"sans-serif\" "
      "font-size=\"13\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
      "<text x=\"{}\" y=\"24\" font-size=\"16\">{}</text>\n",
      kWidth, kHeight, kLeft, title);
  const auto text = [&](double x, double y, const char* anchor, const std::string& what) {
    out +=
        fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\" fill=\"#444\">{}</text>\n",
                    x, y, anchor, what);
  };
  const auto line = [&](double x1, double y1, double x2, double y2) {
    out += fmt::format(
        "<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" "
        "stroke=\"#ddd\"/>\n",
        x1, y1, x2, y2);
  };
  for (double y = 0; y <= y_max * 1.001; y += round_tick(y_max)) {
    line(kLeft, py(y), kWidth - kRight, py(y));
    text(kLeft - 8, py(y) + 4, "end", fmt::format("{:g}", y));
  }
  for (double x = 0; x <= x_max * 1.001; x += round_tick(x_max)) {
    line(px(x), kTop, px(x), kHeight - kBottom);
    text(px(x), kHeight - kBottom + 18, "middle", fmt::format("{:g}", x));
  }
  text((kLeft + kWidth - kRight) / 2, kHeight - 12, "middle", x_label);
  out += fmt::format(
      "<text transform=\"translate(18 {}) rotate(-90)\" text-anchor=\"middle\" "
      "fill=\"#444\">{}</text>\n",
      kHeight / 2, y_label);
  for (size_t i = 0; i < series.size(); ++i) {
    const char* colour = kColours[i % std::size(kColours)];
    out +=
        fmt::format("<polyline fill=\"none\" stroke=\"{}\" stroke-width=\"2\" points=\"", colour);
    for (const auto& [x, y] : series[i].points) out += fmt::format("{:.1f},{:.1f} ", px(x), py(y));
    out += "\"/>\n";
    if (series[i].points.empty()) continue;
    const auto& [x, y] = series[i].points.back();
    if (series[i].points.size() == 1) {
      out += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"4\" fill=\"{}\"/>\n", px(x),
                         py(y), colour);
    }
    out += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" fill=\"{}\">{}</text>\n", px(x) + 8,
                       py(y) + 4, colour, series[i].name);
  }
  return out + "</svg>\n";
}

}  // namespace sluice::cli
