// @modelcontextprotocol/sdk 1.x as a host uses it.
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { UnauthorizedError } from '@modelcontextprotocol/sdk/client/auth.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { HostClient } from './host.js';

export class Sdk1Client extends HostClient {
  static title = 'TypeScript SDK 1.32';
  static Client = Client;
  static Transport = StreamableHTTPClientTransport;
  static UnauthorizedError = UnauthorizedError;

  finish(callback) {
    return this.transport.finishAuth(callback.searchParams.get('code'));
  }
}
