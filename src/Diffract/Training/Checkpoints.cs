using System.Globalization;
using System.IO.Hashing;
using System.Text.Json;
using System.Text.Json.Nodes;
using Diffract.Crosscoders;
using Diffract.Formats;
using Diffract.Runs;

namespace Diffract.Training;

/// <summary>
/// <c>checkpoints/&lt;step&gt;/</c>: the published crosscoder, Adam's moments and counters, and <c>state.json</c> with their checksums. A checkpoint is written beside
/// and renamed, so it is whole or absent; the one before stays until the next is whole. Batches are a function of the step, so there is no generator to keep.
/// </summary>
/// <param name="folder">The folder that holds them.</param>
/// <param name="identity">What decides the run: a checkpoint of another identity is refused.</param>
/// <param name="keepAll">Keep earlier ones; else the last two stay.</param>
public sealed class Checkpoints(string folder, JsonObject identity, bool keepAll)
{
    public const string FolderName = "checkpoints";

    /// <summary>The last one, and the one before for when that is damaged.</summary>
    const int Kept = 2;

    const string StateFile = "state.json";

    long _whole = -1;

    /// <summary>Go on from a checkpoint of another kernel path; the result is then not that of an undisturbed run.</summary>
    public bool AllowOtherPath { get; init; }

    /// <summary>Every kernel path that the steps so far were computed on, in order.</summary>
    public IReadOnlyList<string> Paths { get; private set; } = [];

    public void Save(TrainingState state, Crosscoder crosscoder, TrainingLog log)
    {
        if (_whole == state.Step)
        {
            return;
        }

        log.Flush();
        string done = Path.Combine(folder, state.Step.ToString(CultureInfo.InvariantCulture));
        string beside = done + ".part";
        DeleteIfThere(beside);
        try
        {
            Dictionary<string, FileSeal> seals = CrosscoderFolder.Save(beside, crosscoder);
            seals[OptimizerFile.Name] = OptimizerFile.Save(beside, state, crosscoder);
            State saved = new(state.Step, state.Density, log.Length, OnPath(crosscoder), identity, seals, Check: "");
            AtomicFile.WriteText(Path.Combine(beside, StateFile), JsonSerializer.Serialize(saved with { Check = Checksum(saved) }, Provenance.Json));
        }
        catch (DiffractException e)
        {
            DeleteIfThere(beside);
            string last = Saved().Select(s => s.Step).DefaultIfEmpty(-1).Max() is >= 0 and long step ? $"that of step {step} is whole" : "there is none yet";
            throw new DiffractException($"the checkpoint of step {state.Step} is not written, {last}; free some space and call the same command again ({e.Message})", inner: e);
        }

        DeleteIfThere(done);
        Directory.Move(beside, done);
        _whole = state.Step;
        if (!keepAll)
        {
            // Later ones are damaged, or were passed over for an earlier one.
            foreach ((_, string path) in Saved().OrderByDescending(s => s.Step <= state.Step).ThenByDescending(s => s.Step).Skip(Kept))
            {
                DeleteIfThere(path);
            }
        }
    }

    /// <summary>Loads the last sound checkpoint into state and weights.</summary>
    /// <param name="state">Written.</param>
    /// <param name="crosscoder">Written.</param>
    /// <param name="logPath">The log beside them: a checkpoint that was made at more of it than there is cannot go on.</param>
    /// <param name="progress">Told which ones are passed over, and why.</param>
    /// <returns>Length of the log at that time; null when there is no checkpoint.</returns>
    /// <exception cref="DiffractException">The checkpoint belongs to a run with other settings or data, or was computed on another kernel path.</exception>
    public long? Restore(TrainingState state, Crosscoder crosscoder, string logPath, IProgressSink progress)
    {
        FileInfo log = new(logPath);
        foreach ((long step, string path) in Saved().OrderByDescending(s => s.Step))
        {
            State? saved = Read(path);
            string? broken = saved is null ? $"{StateFile} is missing or damaged"
                : saved.Files.Where(f => !File.Exists(Path.Combine(path, f.Key)) || AtomicFile.Seal(Path.Combine(path, f.Key)) != f.Value)
                    .Select(f => f.Key + " is missing or damaged").FirstOrDefault()
                ?? ((log.Exists ? log.Length : 0) < saved.LogBytes ? $"{log.Name} is shorter than it was then" : null);
            if (broken is not null)
            {
                progress.Warn($"checkpoint {step} is not used: {broken}; an earlier one is taken, or the beginning");
                continue;
            }

            if (!JsonNode.DeepEquals(saved!.Identity, identity))
            {
                throw new DiffractException(
                    $"{path} belongs to a training with other settings or data ({SettingsDifference.Of(saved.Identity, identity)}); start over with --fresh, or write elsewhere");
            }

            CheckPath(path, saved, crosscoder.Backend.KernelPath, progress);
            Load(path, saved, state, crosscoder);
            _whole = step;
            return saved.LogBytes;
        }

        return null;
    }

    static void Load(string path, State saved, TrainingState state, Crosscoder crosscoder)
    {
        using SafetensorsFile model = SafetensorsFile.Open(Path.Combine(path, CrosscoderFolder.ModelFile));
        PublishedTensors.Read(model, "", crosscoder.Config, crosscoder.WEnc_LE, crosscoder.BEnc_L, crosscoder.WDec_LE, crosscoder.BDec_E);
        PublishedCrosscoder.ReadThresholds(model, "", crosscoder);
        crosscoder.RefreshNorms();
        OptimizerFile.Load(path, state, crosscoder);
        (state.Step, state.Density) = (saved.Step, saved.Density);
    }

    /// <summary>Instruction sets round differently: going on with another one gives other weights than an undisturbed run.</summary>
    void CheckPath(string path, State saved, string now, IProgressSink progress)
    {
        Paths = saved.KernelPaths;
        string before = saved.KernelPaths[^1];
        if (before == now)
        {
            return;
        }

        string fact = $"{path} was computed on the kernel path {before}, this call is on {now}, which rounds differently";
        if (!AllowOtherPath)
        {
            string back = before == "reference" ? "--device reference" : $"DIFFRACT_CPU={before}";
            throw new DiffractException($"{fact}: the end would not have the bits of an undisturbed run; go on with {back}, or with --allow-other-path");
        }

        progress.Warn(fact);
    }

    List<string> OnPath(Crosscoder crosscoder)
    {
        string now = crosscoder.Backend.KernelPath;
        Paths = Paths.Count > 0 && Paths[^1] == now ? Paths : [.. Paths, now];
        return [.. Paths];
    }

    List<(long Step, string Path)> Saved()
        => Directory.Exists(folder)
            ? [.. Directory.GetDirectories(folder)
                .Select(d => (long.TryParse(Path.GetFileName(d), NumberStyles.None, CultureInfo.InvariantCulture, out long step) ? step : -1, d))
                .Where(s => s.Item1 >= 0)]
            : [];

    static State? Read(string path)
    {
        try
        {
            State? state = JsonSerializer.Deserialize<State>(File.ReadAllText(Path.Combine(path, StateFile)), Provenance.Json);
            return state is { Identity: not null, Files: not null, KernelPaths.Count: > 0 } && state.Check == Checksum(state) ? state : null;
        }
        catch (Exception e) when (e is JsonException or IOException)
        {
            return null;
        }
    }

    /// <summary>XXH128 of the state written without it.</summary>
    static string Checksum(State state)
        => Convert.ToHexStringLower(XxHash128.Hash(JsonSerializer.SerializeToUtf8Bytes(state with { Check = "" }, Provenance.Json)));

    static void DeleteIfThere(string path)
    {
        if (Directory.Exists(path))
        {
            Directory.Delete(path, recursive: true);
        }
    }

    sealed record State(long Step, double Density, long LogBytes, List<string> KernelPaths, JsonObject Identity, Dictionary<string, FileSeal> Files, string Check);
}
