// The report's style sheet. Fonts are the reader's own; colours are variables with a light and a dark set; the lines'
// colours differ in lightness as well as in hue, for readers who do not see the hue.
#pragma once

#include <string_view>

namespace vkvae {

// The variables; also of .svg files.
inline constexpr std::string_view kColourStyle = R"css(
:root{color-scheme:light dark;
--paper:#fcfbf8;--panel:#f4f2ec;--ink:#1d1f24;--soft:#5a606b;--rule:#dedad0;--grid:#eae7df;
--train:#1f5fb4;--test:#d1541a;--valid:#2b8a63;--bad:#c2242c;
--rank0:#173f7a;--rank1:#2f6fc0;--rank2:#6b9edb;--rank3:#a9c3e2;--rank4:#cfd0cd;
--class0:#1f5fb4;--class1:#d1541a;--class2:#2b8a63;--class3:#c2242c;--class4:#7146b0;--class5:#84622a;--class6:#c2468f;
--class7:#5a606b;--class8:#8a8500;--class9:#0a8a9c;
--serif:"Iowan Old Style","Palatino Linotype",Palatino,"Book Antiqua","URW Palladio L",P052,Georgia,serif;
--sans:system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans","Helvetica Neue","Liberation Sans",Arial,sans-serif;
--mono:ui-monospace,"SF Mono","Cascadia Mono",Menlo,Consolas,"DejaVu Sans Mono","Liberation Mono",monospace}
@media(prefers-color-scheme:dark){:root{
--paper:#15171b;--panel:#1e2126;--ink:#e8e5de;--soft:#a2a7b1;--rule:#343840;--grid:#272b32;
--train:#7db2ff;--test:#ff9d66;--valid:#6fd0a3;--bad:#ff7a7a;
--rank0:#b9d6ff;--rank1:#7db2ff;--rank2:#4c82cc;--rank3:#365784;--rank4:#3d4047;
--class0:#7db2ff;--class1:#ff9d66;--class2:#6fd0a3;--class3:#ff7a7a;--class4:#b79cf5;--class5:#cda86a;--class6:#f29bd0;
--class7:#a2a7b1;--class8:#d6d253;--class9:#5cd0e0}}
)css";

// Inside drawings; also of .svg files.
inline constexpr std::string_view kChartStyle = R"css(
svg text{font:12px var(--sans);fill:var(--soft);font-variant-numeric:tabular-nums}
svg .end{text-anchor:end}svg .mid{text-anchor:middle}svg .axis-name{font-style:italic}
.grid{stroke:var(--grid);fill:none}.axis{stroke:var(--soft);fill:none;stroke-width:.8;opacity:.7}
.points{fill:none;stroke:var(--c);stroke-width:3.4;stroke-linecap:round;opacity:.5}
svg .class-name{font-weight:700;font-size:15px;fill:var(--c);stroke:var(--paper);stroke-width:3.5;paint-order:stroke}
.class0{--c:var(--class0)}.class1{--c:var(--class1)}.class2{--c:var(--class2)}.class3{--c:var(--class3)}
.class4{--c:var(--class4)}.class5{--c:var(--class5)}.class6{--c:var(--class6)}.class7{--c:var(--class7)}
.class8{--c:var(--class8)}.class9{--c:var(--class9)}
)css";

inline constexpr std::string_view kPageStyle = R"css(
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;text-size-adjust:100%}
body{margin:0;background:var(--paper);color:var(--ink);font:400 1rem/1.55 var(--sans);font-variant-numeric:tabular-nums}
main,header,footer{max-width:71rem;margin:0 auto;padding:0 clamp(1rem,4vw,2.5rem)}
header{padding-top:clamp(1.75rem,5vw,3.5rem)}
h1,h2,h3,p,figure,dl,dd,ol,table{margin:0;padding:0}
.eyebrow{font-size:.75rem;letter-spacing:.12em;text-transform:uppercase;color:var(--soft)}
h1{font:600 clamp(2rem,5.5vw,3.1rem)/1.12 var(--serif);letter-spacing:-.012em;margin:.35rem 0 .6rem;overflow-wrap:anywhere}
.lede{max-width:46rem;font-size:1.06rem;color:var(--soft);overflow-wrap:anywhere}
h2{font:600 1.5rem/1.25 var(--serif);letter-spacing:-.005em;margin:3.25rem 0 1.1rem;padding-top:.9rem;border-top:1px solid var(--rule)}
main>section:first-child h2{border-top:0}
h3{font-size:.9rem;font-weight:600;margin-bottom:.4rem}
.alarm{margin-top:1.25rem;padding:.6rem .9rem;border-left:3px solid var(--bad);background:var(--panel);max-width:46rem;overflow-wrap:anywhere}

.figures{display:grid;grid-template-columns:repeat(4,minmax(0,1fr));margin-top:2.1rem;border-top:2px solid var(--ink)}
.figures div{padding:.85rem 1rem .95rem 0;border-bottom:1px solid var(--rule)}
.figures dt{font-size:.8rem;color:var(--soft)}
.figures dd{font:400 1.9rem/1.25 var(--serif);letter-spacing:-.01em;font-variant-numeric:lining-nums tabular-nums;white-space:nowrap}
.figures dd small{font:400 .85rem var(--sans);letter-spacing:0;color:var(--soft);margin-left:.25rem}
.figures .under{display:block;font:400 .8rem/1.35 var(--sans);letter-spacing:0;color:var(--soft);white-space:normal;overflow-wrap:anywhere}
.figures .lead dd{font-weight:600}
.figures .words dd{font-size:1.15rem;line-height:1.35;white-space:normal;overflow-wrap:anywhere;padding-top:.3rem}

.charts{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));gap:2.2rem 2.75rem}
@media(min-width:46.01rem){.charts .tall{grid-row:span 2}}
figcaption{font-size:.92rem}
.chart figcaption{display:flex;flex-wrap:wrap;justify-content:space-between;align-items:baseline;gap:.1rem 1rem;margin-bottom:.5rem}
.chart .name{font-weight:600}
.chart small{font-weight:400;font-size:.82rem;color:var(--soft);margin-left:.2rem}
.legend{display:flex;flex-wrap:wrap;gap:0 1rem;font-size:.85rem;color:var(--soft)}
.key::before{content:"";display:inline-block;width:.95rem;height:.2rem;border-radius:.1rem;margin-right:.4rem;vertical-align:.22rem;background:var(--c)}
.key b{color:var(--ink);font-weight:600}
.note{font-size:.82rem;line-height:1.45;color:var(--soft);margin-top:.35rem}
svg{display:block;width:100%;height:auto;overflow:visible}
svg .code{font-family:var(--mono);fill:var(--ink)}svg .small{font-size:10.5px}
svg .bad{fill:var(--bad);font-size:15px;font-weight:600}
.train{--c:var(--train)}.test{--c:var(--test)}.valid{--c:var(--valid)}
.rank0{--c:var(--rank0)}.rank1{--c:var(--rank1)}.rank2{--c:var(--rank2)}.rank3{--c:var(--rank3)}.rank4{--c:var(--rank4)}
.line,.raw{fill:none;stroke:var(--c);stroke-linejoin:round;stroke-linecap:round}
.line{stroke-width:1.7}.raw{stroke-width:.8;opacity:.28}.band{fill:var(--c);opacity:.2}
.dot{fill:var(--paper);stroke:var(--c);stroke-width:1.5}
.line[class*=rank]{stroke-width:1.1}
.bar{fill:var(--c)}.track{fill:var(--grid)}

.pictures{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));gap:2.2rem 2.75rem;align-items:start}
.pictures.wide{grid-template-columns:minmax(0,1fr)}
.pictures figcaption{margin-bottom:.6rem}
.pictures figcaption small{color:var(--soft);font-size:.85rem;margin-left:.35rem}
img{display:block;max-width:100%;height:auto;border-radius:3px;background:var(--panel)}
.film{display:grid;grid-template-columns:repeat(auto-fill,minmax(9.5rem,1fr));gap:1rem;margin-top:.6rem}
.pixels{image-rendering:pixelated}.film img{width:100%}
.film figcaption{font-size:.8rem;color:var(--soft);margin-top:.25rem}
h3.strip{margin-top:2.2rem}

.layers{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));gap:1.5rem 2.75rem}
.layers ol{list-style:none;font-size:.9rem}
.layers li{display:flex;gap:.75rem;padding:.32rem 0;border-bottom:1px solid var(--grid)}
.layers b{font:600 .85rem/1.6 var(--mono);flex:0 0 8.75rem;overflow-wrap:anywhere}
.layers span{color:var(--soft);overflow-wrap:anywhere;min-width:0}
details{margin-top:1.6rem;border-top:1px solid var(--rule)}
summary{cursor:pointer;font-weight:600;padding:.7rem 0}
.groups{columns:2;column-gap:2.75rem}
.groups section{break-inside:avoid;margin-bottom:1.4rem}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.88rem}
th,td{text-align:left;vertical-align:top;font-weight:400;padding:.26rem .75rem .26rem 0;border-bottom:1px solid var(--grid)}
.groups th{width:38%;color:var(--soft);overflow-wrap:anywhere}
.groups td{overflow-wrap:anywhere;padding-right:0}
.evals{min-width:32rem}.evals thead th{color:var(--soft);border-color:var(--rule)}
.evals td,.evals th{text-align:right}.evals :first-child{text-align:left}
code{font:.84rem/1.6 var(--mono)}
pre{margin:0 0 1.4rem;padding:.8rem 1rem;background:var(--panel);border-radius:4px;white-space:pre-wrap;overflow-wrap:anywhere}
footer{margin-top:3rem;padding-top:1rem;padding-bottom:2.5rem;font-size:.82rem;color:var(--soft)}
@media(max-width:60rem){.figures{grid-template-columns:repeat(3,minmax(0,1fr))}}
@media(max-width:46rem){
.figures{grid-template-columns:repeat(2,minmax(0,1fr))}.figures dd{font-size:1.55rem}
.charts,.pictures,.layers{grid-template-columns:minmax(0,1fr)}.groups{columns:1}
.film{grid-template-columns:repeat(3,minmax(0,1fr));gap:.75rem}}
@media(min-width:46.01rem) and (max-width:64rem),(max-width:34rem){
svg text{font-size:15px}svg .code{font-size:14px}svg .small{font-size:13px}}
@media print{:root{color-scheme:light}h2,figcaption{break-after:avoid}figure{break-inside:avoid}}
)css";

} // namespace vkvae
