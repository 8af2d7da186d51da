using System.Text.Json.Nodes;
using Diffract.Compute.Kernels;

namespace Diffract.Runs;

/// <summary>What every stage gets beside its own settings.</summary>
/// <param name="Run">The run folder it reads from and writes to.</param>
/// <param name="Backend">Where kernels run.</param>
/// <param name="Progress">Who listens.</param>
/// <param name="Stop">Set by Ctrl-C: the stage stops at the next safe point with <see cref="OperationCanceledException"/>, and can be called again.</param>
/// <param name="Fresh">Throw away what the stage made before.</param>
public sealed record StageContext(RunFolder Run, IBackend Backend, IProgressSink Progress, bool Fresh = false, CancellationToken Stop = default)
{
    const string PlanFile = "plan.json";

    /// <summary>What the stage may take.</summary>
    public MemoryBudget Memory { get; init; } = MemoryBudget.Available();

    /// <summary>
    /// Prepares a stage folder. True: it is there, finished, with equal settings and inputs, and nothing is to be done. False: work (or go on working) in the folder.
    /// A finished or unfinished folder made with other settings or inputs is refused unless <see cref="Fresh"/>.
    /// </summary>
    /// <param name="folder">Absolute path.</param>
    /// <param name="plan">Stage, settings and inputs as they are going to be written; kept as <c>plan.json</c> until the manifest is there.</param>
    public bool AlreadyDone(string folder, StageManifest plan)
    {
        string planPath = Path.Combine(folder, PlanFile);
        string wanted = Describe(plan);
        if (Fresh && Directory.Exists(folder))
        {
            Directory.Delete(folder, recursive: true);
        }

        Directory.CreateDirectory(folder);
        StageManifest? made = StageManifest.TryLoad(folder);
        string? before = made is not null ? Describe(made) : File.Exists(planPath) ? File.ReadAllText(planPath) : null;
        if (before is not null && before != wanted)
        {
            throw new DiffractException(
                $"{Run.Relative(folder)} was made with other settings or inputs ({Difference(before, wanted)}); use --fresh to replace it, or another {(folder == Run.Crosscoder(Path.GetFileName(folder)) ? "--name" : "run folder")}");
        }

        if (made is not null)
        {
            Provenance.CheckOutputs(Run.Relative(folder), folder, made, $"diffract {made.Stage} {Run.Root}");
            return true;
        }

        AtomicFile.WriteText(planPath, wanted);
        return false;
    }

    /// <summary>The settings that a stage folder was made with, or was begun with; null when there is neither.</summary>
    public static JsonObject? SettingsOf(string folder)
    {
        string planPath = Path.Combine(folder, PlanFile);
        return StageManifest.TryLoad(folder)?.Settings
            ?? (File.Exists(planPath) ? JsonNode.Parse(File.ReadLines(planPath).Skip(1).First())!.AsObject() : null);
    }

    /// <summary>Writes the manifest that closes a stage.</summary>
    public void Finish(string folder, StageManifest manifest)
    {
        (manifest with { Backend = Backend.Description }).Save(folder);
        File.Delete(Path.Combine(folder, PlanFile));
    }

    static string Describe(StageManifest manifest)
        => manifest.Stage + "\n" + manifest.Settings.ToJsonString() + "\n"
            + string.Join("\n", manifest.Inputs.OrderBy(p => p.Key, StringComparer.Ordinal).Select(p => p.Key + " " + p.Value));

    static string Difference(string before, string wanted) => SettingsDifference.Of(Fields(before), Fields(wanted));

    /// <summary>Settings and inputs as one object.</summary>
    static JsonObject Fields(string description)
    {
        string[] lines = description.Split('\n');
        JsonObject fields = JsonNode.Parse(lines[1])!.AsObject();
        foreach (string input in lines[2..])
        {
            int space = input.LastIndexOf(' ');
            if (space > 0)
            {
                fields[input[..space]] = input[(space + 1)..];
            }
        }

        return fields;
    }
}
