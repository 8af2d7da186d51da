using System.Text.Json;
using Diffract.Runs;

namespace Diffract.Evidence;

/// <summary><c>evidence/&lt;name&gt;/</c> of a run, read whole.</summary>
public sealed record EvidenceFolder
{
    const string ExamplesFile = "examples.json";
    const string InterventionsFile = "interventions.json";
    const string BehavioursFile = "behaviours.json";
    const string TemplateFile = "template.json";

    // A line a number would make these several times longer.
    static JsonSerializerOptions Compact { get; } = new(Provenance.Json) { WriteIndented = false };

    public required StageManifest Manifest { get; init; }

    /// <summary>Examples of the latents that the report shows, most chat-specific first.</summary>
    public required IReadOnlyList<LatentExamples> Examples { get; init; }

    /// <summary>Share of template tokens of the same latents; empty without chats.</summary>
    public required IReadOnlyList<TemplateShare> TemplateShares { get; init; }

    /// <summary>Null when the run has no held-out chats.</summary>
    public InterventionResults? Interventions { get; init; }

    /// <summary>Null when the run has no labelled held-out chats.</summary>
    public BehaviourResults? Behaviours { get; init; }

    /// <summary>Reads what the stage wrote; refuses a missing, damaged or stale folder by naming the command.</summary>
    public static EvidenceFolder Open(RunFolder run, string name)
    {
        string folder = run.Evidence(name);
        StageManifest manifest = Provenance.Require(run, folder, $"diffract evidence {run.Root} --name {name}");
        return new EvidenceFolder
        {
            Manifest = manifest,
            Examples = Read<List<LatentExamples>>(folder, ExamplesFile) ?? [],
            TemplateShares = Read<List<TemplateShare>>(folder, TemplateFile) ?? [],
            Interventions = Read<InterventionResults>(folder, InterventionsFile),
            Behaviours = Read<BehaviourResults>(folder, BehavioursFile),
        };
    }

    /// <summary>Writes the files that there are results for; returns their seals by file name.</summary>
    public Dictionary<string, FileSeal> Save(string folder)
    {
        Dictionary<string, FileSeal> seals = [];
        Write(folder, ExamplesFile, Examples, seals, Compact);
        Write(folder, TemplateFile, TemplateShares, seals, Compact);
        Write(folder, InterventionsFile, Interventions, seals, Provenance.Json);
        Write(folder, BehavioursFile, Behaviours, seals, Provenance.Json);
        return seals;
    }

    static void Write<T>(string folder, string file, T? value, Dictionary<string, FileSeal> seals, JsonSerializerOptions options)
        where T : class
    {
        if (value is not null)
        {
            seals[file] = AtomicFile.Write(Path.Combine(folder, file), s => JsonSerializer.Serialize(s, value, options));
        }
    }

    static T? Read<T>(string folder, string file)
        where T : class
    {
        string path = Path.Combine(folder, file);
        if (!File.Exists(path))
        {
            return null;
        }

        try
        {
            using FileStream stream = File.OpenRead(path);
            return JsonSerializer.Deserialize<T>(stream, Provenance.Json);
        }
        catch (JsonException e)
        {
            throw new DiffractException($"{path} is not readable evidence ({e.Message}); run `diffract evidence --fresh`", inner: e);
        }
    }
}
