using System.Text.Json;
using Diffract.Runs;

namespace Diffract.Reports;

/// <summary>The training log as a few series, thinned for drawing.</summary>
public static class TrainingLogReader
{
    const int MostPoints = 300;

    /// <param name="path"><c>log.jsonl</c>.</param>
    /// <param name="latents">L, of which dead latents are a share.</param>
    public static List<ReportSeries> Read(string path, long latents)
    {
        Dictionary<string, List<(long Step, double Value)>> series = new(StringComparer.Ordinal);
        int line = 0;
        foreach (string text in File.ReadLines(path))
        {
            line++;
            try
            {
                using JsonDocument record = JsonDocument.Parse(text);
                JsonElement root = record.RootElement;
                long step = root.GetProperty("step").GetInt64();
                void Add(string name, string key, double unit = 1)
                {
                    if (root.TryGetProperty(key, out JsonElement value) && value.ValueKind == JsonValueKind.Number)
                    {
                        (series.TryGetValue(name, out List<(long, double)>? points) ? points : series[name] = []).Add((step, value.GetDouble() / unit));
                    }
                }

                Add("loss", "loss");
                Add("variance explained", "val_fve_pooled");
                Add("L0", "l0");
                Add("dead share", "dead", Math.Max(1, latents));
                Add("threshold", "threshold");
                Add("learning rate", "lr");
            }
            catch (Exception e) when (e is JsonException or KeyNotFoundException or InvalidOperationException or FormatException)
            {
                throw new DiffractException($"{path} line {line} is not a line of a training log ({e.Message.Split('\n')[0]}); run `diffract train --fresh`", inner: e);
            }
        }

        // An unset threshold is -1: there is nothing to draw before it is set.
        series.GetValueOrDefault("threshold")?.RemoveAll(p => p.Value < 0);
        return [.. series.Where(s => s.Value.Count > 0).Select(s => Thin(s.Key, s.Value))];
    }

    /// <summary>Evenly spaced points, first and last among them.</summary>
    static ReportSeries Thin(string name, List<(long Step, double Value)> points)
    {
        int take = Math.Min(points.Count, MostPoints);
        List<(long Step, double Value)> kept = [.. Enumerable.Range(0, take).Select(i => points[take == 1 ? 0 : (int)((long)i * (points.Count - 1) / (take - 1))])];
        return new ReportSeries(name, [.. kept.Select(p => p.Step)], [.. kept.Select(p => p.Value)]);
    }
}
