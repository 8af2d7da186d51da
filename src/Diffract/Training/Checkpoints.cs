using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using Diffract.Crosscoders;
using Diffract.Formats;
using Diffract.Runs;

namespace Diffract.Training;

/// <summary>
/// <c>checkpoints/&lt;step&gt;/</c>: the published crosscoder, Adam's moments and counters, and <c>state.json</c> with their checksums. A checkpoint is written beside
/// and renamed, so it is whole or absent. Batches are a function of the step, so there is no generator to keep.
/// </summary>
/// <param name="folder">The folder that holds them.</param>
/// <param name="identity">What decides the run: a checkpoint of another identity is refused.</param>
/// <param name="keepAll">Keep earlier ones; else only the last stays.</param>
public sealed class Checkpoints(string folder, JsonObject identity, bool keepAll)
{
    public const string FolderName = "checkpoints";

    const string StateFile = "state.json";

    public void Save(TrainingState state, Crosscoder crosscoder, TrainingLog log)
    {
        log.Flush();
        string done = Path.Combine(folder, state.Step.ToString(CultureInfo.InvariantCulture));
        string beside = done + ".part";
        DeleteIfThere(beside);
        Dictionary<string, FileSeal> seals = CrosscoderFolder.Save(beside, crosscoder);
        seals[OptimizerFile.Name] = OptimizerFile.Save(beside, state, crosscoder);
        State saved = new(state.Step, state.Density, log.Length, identity, seals);
        AtomicFile.WriteText(Path.Combine(beside, StateFile), JsonSerializer.Serialize(saved, Provenance.Json));
        DeleteIfThere(done);
        Directory.Move(beside, done);
        if (!keepAll)
        {
            foreach ((long step, string path) in Saved().Where(s => s.Step != state.Step))
            {
                DeleteIfThere(path);
            }
        }
    }

    /// <summary>Loads the last sound checkpoint into state and weights.</summary>
    /// <returns>Length of the log at that time; null when there is no checkpoint.</returns>
    /// <exception cref="DiffractException">The checkpoint belongs to a run with other settings or data.</exception>
    public long? Restore(TrainingState state, Crosscoder crosscoder, IProgressSink progress)
    {
        foreach ((long step, string path) in Saved().OrderByDescending(s => s.Step))
        {
            State? saved = Read(path);
            string? broken = saved is null
                ? StateFile
                : saved.Files.Where(f => !File.Exists(Path.Combine(path, f.Key)) || AtomicFile.Seal(Path.Combine(path, f.Key)) != f.Value).Select(f => f.Key).FirstOrDefault();
            if (broken is not null)
            {
                progress.Warn($"checkpoint {step} is not used: {broken} is missing or damaged");
                continue;
            }

            if (!JsonNode.DeepEquals(saved!.Identity, identity))
            {
                throw new DiffractException($"{path} belongs to a training with other settings or data ({Difference(saved.Identity)}); start over with --fresh, or write elsewhere");
            }

            using SafetensorsFile model = SafetensorsFile.Open(Path.Combine(path, CrosscoderFolder.ModelFile));
            PublishedTensors.Read(model, "", crosscoder.Config, crosscoder.WEnc_LE, crosscoder.BEnc_L, crosscoder.WDec_LE, crosscoder.BDec_E);
            if (crosscoder.Config.Kind == CrosscoderKind.BatchTopK)
            {
                crosscoder.Threshold = model.Floats("threshold")[0];
            }

            crosscoder.RefreshNorms();
            OptimizerFile.Load(path, state, crosscoder);
            (state.Step, state.Density) = (saved.Step, saved.Density);
            return saved.LogBytes;
        }

        return null;
    }

    IEnumerable<(long Step, string Path)> Saved()
        => Directory.Exists(folder)
            ? [.. Directory.GetDirectories(folder)
                .Select(d => (long.TryParse(Path.GetFileName(d), NumberStyles.None, CultureInfo.InvariantCulture, out long step) ? step : -1, d))
                .Where(s => s.Item1 >= 0)]
            : [];

    static State? Read(string path)
    {
        try
        {
            return JsonSerializer.Deserialize<State>(File.ReadAllText(Path.Combine(path, StateFile)), Provenance.Json);
        }
        catch (Exception e) when (e is JsonException or IOException)
        {
            return null;
        }
    }

    string Difference(JsonObject saved)
    {
        foreach (string key in identity.Select(p => p.Key).Union(saved.Select(p => p.Key)))
        {
            if (!JsonNode.DeepEquals(saved[key], identity[key]))
            {
                return $"{key} was {saved[key]?.ToJsonString() ?? "nothing"}, now {identity[key]?.ToJsonString() ?? "nothing"}";
            }
        }

        return "equal";
    }

    static void DeleteIfThere(string path)
    {
        if (Directory.Exists(path))
        {
            Directory.Delete(path, recursive: true);
        }
    }

    sealed record State(long Step, double Density, long LogBytes, JsonObject Identity, Dictionary<string, FileSeal> Files);
}
