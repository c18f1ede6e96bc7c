//! The server on standard input and output: it passes requests on to another one, and adds `task_download`.

use rmcp::{
    ErrorData, ServerHandler,
    model::{
        CallToolRequestParams, CallToolResponse, CompleteRequestParams, CompleteResult, DiscoverResult,
        GetPromptRequestParams, GetPromptResponse, InitializeRequestParams, InitializeResult, ListPromptsResult,
        ListResourceTemplatesResult, ListResourcesResult, ListToolsResult, PaginatedRequestParams,
        ReadResourceRequestParams, ReadResourceResponse, ServerCapabilities, ServerConfig, Tool,
    },
    service::{Peer, RequestContext, RoleClient, RoleServer, ServiceError},
};

use super::{client::Client, download, failure::Failure};

/// The server on this side of the bridge.
pub(super) struct Bridge {
    /// The server on the other side, or why it was not started.
    pub(super) client: Result<Client, Failure>,
    /// Where `task_download` saves to, as the environment has it.
    pub(super) folder: Option<String>,
}

impl Bridge {
    fn client(&self) -> Result<&Client, Failure> {
        self.client.as_ref().map_err(Clone::clone)
    }

    /// What the other server says about itself, with what this side has more.
    async fn config(&self) -> Result<ServerConfig, Failure> {
        let info = self.client()?.info().await?;
        // Notifications of the other server are not passed on.
        let mut capabilities = ServerCapabilities::builder().enable_tools().build();
        capabilities.prompts = info.capabilities.prompts.map(|_| Default::default());
        capabilities.resources = info.capabilities.resources.map(|_| Default::default());
        capabilities.completions = info.capabilities.completions;
        let instructions = info.instructions.unwrap_or_default() + download::INSTRUCTIONS;
        let mut config = ServerConfig::new(capabilities).with_instructions(instructions.trim_start());
        config.server_info = info.server_info.unwrap_or(config.server_info);
        Ok(config)
    }

    /// Sends a request that changes nothing.
    async fn ask<P: Clone, T, F>(
        &self,
        context: &RequestContext<RoleServer>,
        params: P,
        send: fn(Peer<RoleClient>, P) -> F,
    ) -> Result<T, ErrorData>
    where
        F: Future<Output = Result<T, ServiceError>>,
    {
        let work = async { self.client()?.ask(true, params, send).await };
        unless_cancelled(context, work).await.map_err(Failure::into_error)
    }

    async fn call(
        &self,
        request: CallToolRequestParams,
        context: &RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, Failure> {
        let client = self.client()?;
        if request.name == download::NAME {
            let call = download::call(client, self.folder.as_deref(), request.arguments, context);
            return call.await.map(Into::into);
        }
        client.call(request).await
    }
}

/// The outcome of a request; the client may cancel it, and is sent no answer then.
async fn unless_cancelled<T>(
    context: &RequestContext<RoleServer>,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    tokio::select! {
        outcome = work => outcome,
        () = context.ct.cancelled() => Err(Failure::new("CANCELLED", "The client cancelled the request.")),
    }
}

/// Methods that are passed on as they are.
macro_rules! pass_on {
    ($($method:ident($params:ty) -> $result:ty, by $send:ident;)*) => {$(
        async fn $method(&self, request: $params, context: RequestContext<RoleServer>) -> Result<$result, ErrorData> {
            self.ask(&context, request, |peer, request| async move { peer.$send(request).await }).await
        }
    )*};
}

impl ServerHandler for Bridge {
    async fn initialize(
        &self,
        _: InitializeRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<InitializeResult, ErrorData> {
        self.config().await.map_err(Failure::into_error)
    }

    async fn discover(&self, _: RequestContext<RoleServer>) -> Result<DiscoverResult, ErrorData> {
        let config = self.config().await.map_err(Failure::into_error)?;
        Ok(DiscoverResult::from_server_info(
            self.supported_protocol_versions().into_owned(),
            config,
        ))
    }

    async fn list_tools(
        &self,
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let send = |peer: Peer<RoleClient>, request| async move { peer.list_tools(request).await };
        let mut list = self.ask(&context, request, send).await?;
        if list.next_cursor.is_none() {
            let tool = serde_json::from_str::<Tool>(download::DEFINITION);
            let mut tool = tool.map_err(|error| ErrorData::internal_error(error.to_string(), None))?;
            // A server that is a bridge itself may have one.
            list.tools.retain(|other| other.name != tool.name);
            tool.icons = list.tools.iter().find_map(|other| other.icons.clone());
            list.tools.push(tool);
        }
        Ok(list)
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let outcome = unless_cancelled(&context, self.call(request, &context)).await;
        outcome.or_else(|failure| failure.into_result().map(Into::into))
    }

    pass_on! {
        list_prompts(Option<PaginatedRequestParams>) -> ListPromptsResult, by list_prompts;
        get_prompt(GetPromptRequestParams) -> GetPromptResponse, by get_prompt_once;
        list_resources(Option<PaginatedRequestParams>) -> ListResourcesResult, by list_resources;
        list_resource_templates(Option<PaginatedRequestParams>) -> ListResourceTemplatesResult, by list_resource_templates;
        read_resource(ReadResourceRequestParams) -> ReadResourceResponse, by read_resource_once;
        complete(CompleteRequestParams) -> CompleteResult, by complete;
    }
}
