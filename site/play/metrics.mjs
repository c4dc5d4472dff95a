// Distances between sets of points x, y, x, y, ...

/** The sorted shadows of the points on each direction. */
export const shadows = (points, directions) =>
  directions.map(([dx, dy]) => {
    const shadow = new Float64Array(points.length / 2);
    for (let i = 0; i < shadow.length; i++) shadow[i] = dx * points[2 * i] + dy * points[2 * i + 1];
    return shadow.sort();
  });

/**
 * Between two sets' shadows: the root mean square, over directions, of the 1-D 2-Wasserstein distance (Bonneel et al.
 * 2015). With the directions of page.json it is sliced_wasserstein of minidiff/measure/metrics.py.
 */
export function slicedWasserstein(a, b) {
  let sum = 0;
  for (const [k, mine] of a.entries()) for (let i = 0; i < mine.length; i++) sum += (mine[i] - b[k][i]) ** 2;
  return Math.sqrt(sum / (a.length * a[0].length));
}

/** The root mean square distance of each point from its partner. */
export function pairDistance(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] - b[i]) ** 2;
  return Math.sqrt((2 * sum) / a.length);
}
