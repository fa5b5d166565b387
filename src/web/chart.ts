/** The library that draws charts, which the page fetches with the first of them. */
import uPlot from "uplot";

export const Chart = uPlot;
