using System.Text.Json;
using Diffract.Formats;
using Diffract.Runs;

namespace Diffract.Tokens;

/// <summary>The tokens of a run, memory-mapped: ids, roles, positions and turns of every token, and the documents that they belong to.</summary>
public sealed unsafe class TokenStore : IDisposable
{
    internal const string IdsFile = "ids.bin";
    internal const string MarksFile = "marks.bin";
    internal const string BaseIdsFile = "base_ids.bin";
    internal const string DocumentsFile = "documents.jsonl";
    internal const string SkippedFile = "skipped.jsonl";
    const string PlantedStageName = "planted";
    const int MarkBytes = 3;

    readonly MappedBytes _ids;
    readonly MappedBytes _marks;
    readonly RowMap _rows;
    readonly MappedBytes? _baseIds;
    readonly TokenDocument[] _documents;

    TokenStore(string folder, StageManifest manifest)
    {
        Manifest = manifest;
        BaseModel = (string)manifest.Settings["base"]!["folder"]!;
        ChatModel = (string)manifest.Settings["chat"]!["folder"]!;
        Context = (int)manifest.Settings["context"]!;
        Seed = (int)manifest.Settings["seed"]!;
        Models = manifest.Stage == PlantedStageName ? ModelsKnown.Nothing : (string?)manifest.Settings["models"] switch { null or "both" => ModelsKnown.Both, "tokenizer" => ModelsKnown.Tokenizer, _ => ModelsKnown.Nothing };
        _documents = ReadDocuments(Path.Combine(folder, DocumentsFile));
        OwnTokens = (bool?)manifest.Settings["ownTokens"] ?? false;
        Replace = ReplacementMap.Read(manifest.Settings["replace"]);
        SkipFirst = (int?)manifest.Settings["skipFirst"] ?? 0;
        Tokens = _documents.Sum(d => (long)d.Length);
        Rows = _documents.Sum(d => (long)d.Rows);
        _ids = new MappedBytes(Path.Combine(folder, IdsFile), Tokens * sizeof(int));
        try
        {
            _marks = new MappedBytes(Path.Combine(folder, MarksFile), Tokens * MarkBytes);
            _rows = new RowMap(folder, _documents);
            _baseIds = OwnTokens ? new MappedBytes(Path.Combine(folder, BaseIdsFile), _documents.Sum(d => (long)d.LengthOf(0)) * sizeof(int)) : null;
        }
        catch
        {
            _ids.Dispose();
            _marks?.Dispose();
            _rows?.Dispose();
            throw;
        }
    }

    public StageManifest Manifest { get; }

    /// <summary>Folder of the base checkpoint, as recorded when the text was tokenised.</summary>
    public string BaseModel { get; }

    public string ChatModel { get; }

    /// <summary>What of the models is there to be read.</summary>
    public ModelsKnown Models { get; }

    /// <summary>Documents were cut after so many tokens.</summary>
    public int Context { get; }

    public int Seed { get; }

    /// <summary>Documents and chats; <c>Documents[i].Number == i</c>.</summary>
    public IReadOnlyList<TokenDocument> Documents => _documents;

    public long Tokens { get; }

    /// <summary>Rows of the activation stores: tokens, less those that are not kept.</summary>
    public long Rows { get; }

    /// <summary>So many positions at the beginning of each document have no row, and no edit touches them.</summary>
    public int SkipFirst { get; }

    /// <summary>Each model reads the texts by its own tokenizer: rows are where both have read the same text, and nothing that needs one stream of tokens can be done.</summary>
    public bool OwnTokens { get; }

    /// <summary>Why nothing can be edited inside the models; null where it can.</summary>
    public string? NoInterventions => OwnTokens ? "the models read different tokens" : Models < ModelsKnown.Both ? "the run began from a cache, without the models" : null;

    /// <summary>What the base model reads in place of the stored ids.</summary>
    public ReplacementMap Replace { get; }

    /// <summary>The tokens of a run; a missing, truncated or damaged store is refused.</summary>
    public static TokenStore Open(RunFolder run)
        => new(run.Tokens, Provenance.Require(run, run.Tokens, "diffract tokenize " + run.Root));

    /// <summary>Refuses tokens that were planted: there are no models behind them.</summary>
    public void RequireModels(RunFolder run)
    {
        if (Manifest.Stage == PlantedStageName)
        {
            throw new DiffractException(
                $"{run.Root} was made by `diffract planted`: its activations are drawn from a known dictionary, and there are no models to run; `train`, `latents`, `scale` and `planted-score` work on it");
        }
    }

    /// <summary>Refuses what needs the models' checkpoints, or their tokenizer, where the run began without.</summary>
    /// <param name="run">The run.</param>
    /// <param name="least">What is needed.</param>
    public void RequireModels(RunFolder run, ModelsKnown least)
    {
        RequireModels(run);
        if (Models < least)
        {
            throw new DiffractException(
                $"{run.Root} began from a cache without {(least == ModelsKnown.Both ? "--base and --chat" : "--chat")}: there {(least == ModelsKnown.Both ? "are no models to run" : "is no tokenizer to read its ids with")}; begin it again with `diffract activations {run.Root} --cache … --fresh`, the models named");
        }
    }

    /// <summary>Refuses checkpoints that are not those the tokens were made for.</summary>
    public void RequireCheckpoints(RunFolder run)
    {
        foreach ((string name, string folder) in new[] { ("base", BaseModel), ("chat", ChatModel) })
        {
            string made = (string)Manifest.Settings[name]!["checkpoint"]!, now = CheckpointSeal.Of(folder);
            if (made != now)
            {
                throw new DiffractException(
                    $"the {name} checkpoint {folder} has changed since `tokenize`: its seal was {made}, now {now}; put the old one back, or run `diffract tokenize {run.Root} --fresh` with the new one");
            }
        }
    }

    public ReadOnlySpan<int> Ids(TokenDocument d) => new((int*)_ids.Pointer + d.Start, d.Length);

    /// <summary>The ids that model <paramref name="model"/> reads (0 the base).</summary>
    public ReadOnlySpan<int> Ids(TokenDocument d, int model)
        => model != 0 || (_baseIds is null && Replace.IsEmpty) ? Ids(d)
            : _baseIds is null ? Replace.Apply(Ids(d).ToArray())
            : new ReadOnlySpan<int>((int*)_baseIds.Pointer + d.BaseStart, d.LengthOf(0));

    /// <summary>Flags of <see cref="TokenRole"/>, one a token.</summary>
    public ReadOnlySpan<byte> Roles(TokenDocument d) => Marks(d, 0);

    /// <summary>1-based position within its run of template tokens, 0 outside.</summary>
    public ReadOnlySpan<byte> BlockPositions(TokenDocument d) => Marks(d, 1);

    /// <summary>0-based turn; 255 outside any turn (documents, BOS).</summary>
    public ReadOnlySpan<byte> Turns(TokenDocument d) => Marks(d, 2);

    /// <summary>Position in the document of each of its rows, ascending.</summary>
    public ReadOnlySpan<int> Positions(TokenDocument d) => _rows.Positions(d);

    /// <summary>Position of each of the document's rows among the tokens that model <paramref name="model"/> reads (0 the base).</summary>
    public ReadOnlySpan<int> Positions(TokenDocument d, int model) => model == 0 ? _rows.BasePositions(d) : _rows.Positions(d);

    /// <summary>Role flags of rows <paramref name="first"/> and on of the document, as many as <paramref name="roles"/> holds.</summary>
    public void RowRoles(TokenDocument d, int first, Span<byte> roles)
    {
        ReadOnlySpan<byte> all = Roles(d);
        ReadOnlySpan<int> positions = Positions(d).Slice(first, roles.Length);
        for (int i = 0; i < roles.Length; i++)
        {
            roles[i] = all[positions[i]];
        }
    }

    public void Dispose()
    {
        _ids.Dispose();
        _marks.Dispose();
        _rows.Dispose();
        _baseIds?.Dispose();
    }

    ReadOnlySpan<byte> Marks(TokenDocument d, int which) => new(_marks.Pointer + (d.Start * MarkBytes) + ((long)which * d.Length), d.Length);

    static TokenDocument[] ReadDocuments(string file)
    {
        List<TokenDocument> documents = [];
        long start = 0, row = 0, baseStart = 0;
        try
        {
            foreach (string line in File.ReadLines(file))
            {
                TokenDocument d = JsonSerializer.Deserialize<TokenDocument>(line, TokenizeStage.DocumentJson)!;
                if (d.Number != documents.Count || d.Start != start || d.Length < 1 || d.Kept is { } kept && (kept < 1 || kept > d.Length) || d.BaseLength is < 1)
                {
                    throw new DiffractException($"{file} line {documents.Count + 1} does not follow the line before it: changed or damaged; run `diffract tokenize --fresh`");
                }

                documents.Add(d with { FirstRow = row, BaseStart = baseStart });
                start += d.Length;
                row += d.Rows;
                baseStart += d.BaseLength ?? d.Length;
            }
        }
        catch (JsonException)
        {
            throw new DiffractException($"{file} line {documents.Count + 1} is malformed: changed or damaged; run `diffract tokenize --fresh`");
        }

        return [.. documents];
    }
}
