using System.IO.Hashing;
using System.Runtime.InteropServices;
using Diffract.Latents;
using Diffract.Tokens;

namespace Diffract.Evidence;

/// <summary>Cuts the examples of a latent out of the held-out documents. Documents whose tokens repeat an earlier one's are passed over.</summary>
public sealed class ExampleBuilder
{
    readonly TokenStore _tokens;
    readonly Tokenizer _tokenizer;
    readonly EvidenceSettings _settings;
    readonly HashSet<int> _repeated = [];
    readonly Dictionary<int, string> _texts = [];

    public ExampleBuilder(TokenStore tokens, Tokenizer tokenizer, IReadOnlyList<int> documents, EvidenceSettings settings)
    {
        (_tokens, _tokenizer, _settings) = (tokens, tokenizer, settings);
        HashSet<UInt128> seen = [];
        foreach (int document in documents)
        {
            if (!seen.Add(XxHash128.HashToUInt128(MemoryMarshal.AsBytes(tokens.Ids(tokens.Documents[document])))))
            {
                _repeated.Add(document);
            }
        }
    }

    /// <summary>Top and quantile examples, and the share of template tokens, from a latent's activations in the order of documents.</summary>
    public (LatentExamples Examples, TemplateShare Share) Build(int latent, IEnumerable<LatentEntry> entries)
    {
        List<DocumentMaximum> maxima = [];
        Dictionary<int, List<LatentEntry>> byDocument = [];
        long template = 0, counted = 0;
        foreach (LatentEntry entry in entries)
        {
            TokenDocument document = _tokens.Documents[entry.Document];
            TokenRole role = (TokenRole)_tokens.Roles(document)[entry.Token];
            if (document.Source == TextSource.Chat && (role & TokenRole.Bos) == 0)
            {
                counted++;
                template += (role & TokenRole.Template) != 0 ? 1 : 0;
            }

            if (_repeated.Contains(entry.Document))
            {
                continue;
            }

            if (!byDocument.TryGetValue(entry.Document, out List<LatentEntry>? list))
            {
                byDocument[entry.Document] = list = [];
                maxima.Add(new DocumentMaximum(entry.Document, entry.Token, entry.Value));
            }
            else if (entry.Value > maxima[^1].Max)
            {
                maxima[^1] = new DocumentMaximum(entry.Document, entry.Token, entry.Value);
            }

            list.Add(entry);
        }

        TokenExample Cut(DocumentMaximum m) => Example(m, byDocument[m.Document]);
        LatentExamples examples = new(
            latent,
            [.. ExampleSelection.Top(maxima, _settings.TopExamples).Select(Cut)],
            [.. ExampleSelection.Quantiles(maxima, latent, _settings.QuantileExamples, (ulong)_settings.Seed).Select(bin => (IReadOnlyList<TokenExample>)[.. bin.Select(Cut)])]);
        return (examples, new TemplateShare(latent, counted > 0 ? template / (double)counted : double.NaN, counted));
    }

    TokenExample Example(DocumentMaximum maximum, List<LatentEntry> entries)
    {
        TokenDocument document = _tokens.Documents[maximum.Document];
        int first = ExampleSelection.WindowStart(maximum.Peak, document.Length, _settings.Window), length = Math.Min(_settings.Window, document.Length - first);
        float[] activations = new float[length];
        foreach (LatentEntry entry in entries)
        {
            if (entry.Token >= first && entry.Token < first + length)
            {
                activations[entry.Token - first] = entry.Value;
            }
        }

        string[] texts = [.. _tokens.Ids(document).Slice(first, length).ToArray().Select(Text)];
        int[] roles = [.. _tokens.Roles(document).Slice(first, length).ToArray().Select(r => (int)r)];
        return new TokenExample(
            document.Number, document.Id, document.Source == TextSource.Chat ? "chat" : "document", document.Labels, first, texts, activations, roles, maximum.Peak - first, maximum.Max);
    }

    // A token that is no text of its own (half of a character) is shown as the vocabulary names it.
    string Text(int id)
    {
        if (!_texts.TryGetValue(id, out string? text))
        {
            text = _tokenizer.Decode([id]);
            _texts[id] = text = text.Length == 0 || text.Contains('\uFFFD', StringComparison.Ordinal) ? _tokenizer.TokenText(id) : text;
        }

        return text;
    }
}
